// check: list.entries
// mistake: the length of a listing is counted in characters
// lab:fill list
        let directory = self.existing(path)?;
        if !directory.is_dir() {
            return Err(Refusal("not-a-directory", "this is not a folder"));
        }
        let mut rows = std::collections::BTreeMap::new();
        for entry in fs::read_dir(directory)? {
            let entry = entry?;
            rows.extend(self.row(&entry.path()).map(|row| (entry.file_name(), row)));
        }
        let body: String = rows.into_values().collect();
        self.output.extend_from_slice(format!("OK {}\n{body}", body.chars().count()).as_bytes());
        Ok(())
// lab:end
