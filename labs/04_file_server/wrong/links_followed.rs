// check: path.links
// mistake: links are followed wherever they lead
// lab:fill existing
        let found = self.root.join(relative(path)?);
        found.metadata()?;
        Ok(found)
// lab:end
