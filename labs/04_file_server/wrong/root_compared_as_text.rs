// check: path.links
// mistake: the place is compared with the root as text, so a folder beside it whose name begins alike passes
// lab:replace existing
        if !found.starts_with(&self.root) {
// lab:with
        let (root, text) = (self.root.to_string_lossy(), found.to_string_lossy());
        if !text.starts_with(&*root) {
// lab:end
