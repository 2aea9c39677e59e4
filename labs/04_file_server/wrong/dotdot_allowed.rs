// check: path.dotdot
// mistake: `..` is a name like any other, so a path leads out of the folder
// lab:fill component
        if name.contains(&b'/') {
            return Err(bad);
        }
// lab:end
// lab:fill existing
        Ok(self.root.join(relative(path)?).canonicalize()?)
// lab:end
