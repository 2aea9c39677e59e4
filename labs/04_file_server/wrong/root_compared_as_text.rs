// check: path.links
// mistake: the place is compared with the root as text, so a folder beside it whose name begins alike passes
// lab:fill existing
        let found = self.root.join(relative(path)?).canonicalize()?;
        let (root, text) = (self.root.to_string_lossy(), found.to_string_lossy());
        if !text.starts_with(&*root) {
            return Err(Refusal("bad-path", "the path leads out of the served folder"));
        }
        Ok(found)
// lab:end
