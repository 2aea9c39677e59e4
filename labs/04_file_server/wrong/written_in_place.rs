// check: put.atomic
// mistake: the upload is written over the old file at once
// lab:fill begin
        let directory = root.join(directory).canonicalize()?;
        if !directory.starts_with(root) {
            return Err(Refusal("bad-path", "the path leads out of the served folder"));
        }
        let destination = directory.join(name);
        if destination.is_dir() && !destination.is_symlink() {
            return Err(Refusal("not-a-file", "this is a folder"));
        }
        if destination.is_symlink() {
            fs::remove_file(&destination)?;
        }
        let file = File::create(&destination)?;
        Ok(Upload { file, partial: destination.clone(), destination })
// lab:end
// lab:fill finish
        std::mem::forget(self);
        Ok(())
// lab:end
