// check: put.atomic
// mistake: an upload that was cut short is put into its place as far as it has come
// lab:fill abandon
        let _ = fs::rename(&self.partial, &self.destination);
// lab:end
