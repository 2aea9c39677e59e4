// check: put.atomic
// mistake: the file that is not complete has a name that anybody can see and ask for
// lab:fill begin
        let folder = root.join(folder).canonicalize()?;
        if !folder.starts_with(root) {
            return Err(Refusal("bad-path", "the path leads out of the served folder"));
        }
        let place = folder.join(name);
        if place.is_dir() && !place.is_symlink() {
            return Err(Refusal("not-a-file", "this is a folder"));
        }
        let mut partial = place.clone().into_os_string();
        partial.push(".tmp");
        let file = File::create(&partial)?;
        Ok(Upload { file, partial: partial.into(), place })
// lab:end
