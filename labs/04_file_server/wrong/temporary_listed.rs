// check: put.atomic
// mistake: the file that is not complete has a name that anybody can see and ask for
// lab:fill begin
        let directory = root.join(directory).canonicalize()?;
        if !directory.starts_with(root) {
            return Err(Refusal("bad-path", "the path leads out of the served folder"));
        }
        let destination = directory.join(name);
        if destination.is_dir() && !destination.is_symlink() {
            return Err(Refusal("not-a-file", "this is a folder"));
        }
        let mut partial = destination.clone().into_os_string();
        partial.push(".tmp");
        let file = File::create(&partial)?;
        Ok(Upload { file, partial: partial.into(), destination })
// lab:end
