// check: discover.broadcast
// mistake: the socket lacks SO_BROADCAST
// lab:fill broadcaster
    UdpSocket::bind("0.0.0.0:0")
// lab:end
