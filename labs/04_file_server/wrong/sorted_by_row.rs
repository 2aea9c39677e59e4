// check: list.entries
// mistake: the rows are sorted, and not the names in them
// lab:fill list
        let directory = self.existing(path)?;
        if !directory.is_dir() {
            return Err(Refusal("not-a-directory", "this is not a folder"));
        }
        let entries = fs::read_dir(directory)?.flatten();
        let mut rows: Vec<String> = entries.filter_map(|entry| self.row(&entry.path())).collect();
        rows.sort();
        let body = rows.concat();
        self.output.extend_from_slice(format!("OK {}\n{body}", body.len()).as_bytes());
        Ok(())
// lab:end
