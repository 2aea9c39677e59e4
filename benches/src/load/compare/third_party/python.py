import os, signal, socket, socketserver, sys

HOW, ROOT = sys.argv[1], os.path.realpath(sys.argv[2])


def answer(header):
    line = header.split(b'\r\n', 1)[0].split(b' ')
    if len(line) != 3 or line[0] != b'GET':
        return b'HTTP/1.1 501 Not Implemented\r\nContent-Length: 0\r\n\r\n'
    name = line[1].lstrip(b'/').decode('utf-8', 'replace')
    path = os.path.realpath(os.path.join(ROOT, name))
    try:
        if not path.startswith(ROOT + os.sep):
            raise OSError
        with open(path, 'rb', buffering=0) as file:
            body = file.read()
    except OSError:
        return b'HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n'
    return b'HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b' % (len(body), body)


def serve(client):
    client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    received = b''
    try:
        while True:
            while b'\r\n\r\n' not in received:
                more = client.recv(65536)
                if not more:
                    return
                received += more
            header, received = received.split(b'\r\n\r\n', 1)
            client.sendall(answer(header))
            if b'connection: close' in header.lower():
                return
    except OSError:
        pass


class Handler(socketserver.BaseRequestHandler):
    def handle(self):
        serve(self.request)


class Threads(socketserver.ThreadingMixIn, socketserver.TCPServer):
    request_queue_size = 4096
    daemon_threads = True
    block_on_close = False


class Forks(socketserver.ForkingMixIn, socketserver.TCPServer):
    request_queue_size = 4096
    max_children = 1000000
    block_on_close = False

    def process_request(self, request, client_address):
        # What stops the server is not for its children.
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
        super().process_request(request, client_address)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGTERM])

    def finish_request(self, request, client_address):
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGTERM])
        super().finish_request(request, client_address)


def listening(port):
    print('listening on 127.0.0.1:%d' % port, flush=True)


if HOW == 'gevent':
    import gevent.monkey
    gevent.monkey.patch_all()
    from gevent.server import StreamServer
    server = StreamServer(('127.0.0.1', 0), lambda client, _: serve(client), backlog=4096)
    server.start()
    listening(server.server_port)
    server.serve_forever()
else:
    server = {'threads': Threads, 'forks': Forks}[HOW](('127.0.0.1', 0), Handler)

    def stop(*_):
        for pid in list(getattr(server, 'active_children', None) or ()):
            try:
                os.kill(pid, signal.SIGKILL)
            except OSError:
                pass
        os._exit(0)

    signal.signal(signal.SIGTERM, stop)
    listening(server.server_address[1])
    server.serve_forever()
