// check: layers.padding
// mistake: the packet is taken to end where the frame ends
// lab:replace ip-lengths
    Ok((header, total))
// lab:with
    Ok((header, packet.len()))
// lab:end
