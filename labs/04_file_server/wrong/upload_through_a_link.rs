// check: path.links
// mistake: a download looks where a link leads, an upload does not
// lab:fill begin
        let directory = root.join(directory);
        let destination = directory.join(name);
        if destination.is_dir() && !destination.is_symlink() {
            return Err(Refusal("not-a-file", "this is a folder"));
        }
        let partial = directory.join(unique());
        let file = File::create_new(&partial)?;
        Ok(Upload { file, partial, destination })
// lab:end
