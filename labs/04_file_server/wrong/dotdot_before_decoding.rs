// check: path.dotdot
// mistake: the component is looked at as it is written, before %2e%2e is decoded
// lab:fill component
        if component == "." || component == ".." || name.iter().any(u8::is_ascii_control) {
            return Err(bad);
        }
// lab:end
// lab:fill existing
        Ok(self.root.join(relative(path)?).canonicalize()?)
// lab:end
