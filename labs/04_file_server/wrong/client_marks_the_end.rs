// check: client.put
// mistake: the client ends the file with ##, behind the announced length
// lab:fill upload
    let length = file.metadata()?.len();
    writeln!(stream, "PUT {path} {length}")?;
    copy_exactly(length, &mut file, stream)?;
    stream.write_all(b"##")
// lab:end
