// check: path.links
// mistake: a download looks where a link leads, an upload does not
// lab:fill begin
        let folder = root.join(folder);
        let place = folder.join(name);
        if place.is_dir() && !place.is_symlink() {
            return Err(Refusal("not-a-file", "this is a folder"));
        }
        let partial = folder.join(unique());
        let file = File::create_new(&partial)?;
        Ok(Upload { file, partial, place })
// lab:end
