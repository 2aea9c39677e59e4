// check: put.atomic
// mistake: the upload is written over the old file at once
// lab:fill begin
        let folder = root.join(folder).canonicalize()?;
        if !folder.starts_with(root) {
            return Err(Refusal("bad-path", "the path leads out of the served folder"));
        }
        let place = folder.join(name);
        if place.is_dir() && !place.is_symlink() {
            return Err(Refusal("not-a-file", "this is a folder"));
        }
        if place.is_symlink() {
            fs::remove_file(&place)?;
        }
        let file = File::create(&place)?;
        Ok(Upload { file, partial: place.clone(), place })
// lab:end
// lab:fill finish
        std::mem::forget(self);
        Ok(())
// lab:end
