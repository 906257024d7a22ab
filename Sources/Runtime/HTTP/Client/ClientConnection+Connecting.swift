import EventLoops
import TLS

/// From a name to a connection.
extension ClientConnection {
    /// Begins, for this request. On the loop.
    func open(_ exchange: ClientExchange) {
        guard self.phase != .closed else {
            exchange.settle(.failure(.shutDown))
            return
        }
        guard exchange.attach(self) else {
            self.close()
            return
        }
        self.exchange = exchange
        self.watchUntil(.connect, exchange.connectDeadline)
        if let address: SocketAddress = SocketAddress(host: self.origin.host, port: self.origin.port) {
            self.resolved(.addresses([address]))
            return
        }
        let isTaken: Bool = self.core.configuration.resolver.resolve(host: self.origin.host, port: self.origin.port) {
            [weak self] (resolution: Resolution) in
            guard let self: ClientConnection = self else { return }
            self.loop.execute { self.resolved(resolution) }
        }
        if !isTaken { self.fail(.overloaded("too many names wait to be resolved")) }
    }

    private func resolved(_ resolution: Resolution) {
        guard self.phase == .resolving else { return }
        switch resolution {
        case .failed(let reason): self.fail(.unresolved(host: self.origin.host, reason: reason))
        case .addresses(let addresses):
            self.addresses = addresses.reversed()
            self.connectNext()
        }
    }

    /// Tries one address after the other, each asked about right before and connected to as it was asked about.
    func connectNext() {
        self.phase = .connecting
        while let address: SocketAddress = self.addresses.popLast() {
            if case .refuse(let reason) = self.core.configuration.egress(address) {
                // What the operator forbids is worth more to know than that another address did not answer.
                self.lastFailure = .forbidden(address: address, reason: reason)
                continue
            }
            do throws(SystemError) {
                let attempt: (fd: Int32, isConnected: Bool) = try Socket.connect(address)
                self.transport = Transport(fd: attempt.fd)
                self.isReadable = false
                self.isWritable = false
                self.peerFinished = false
                try self.loop.register(self, fd: attempt.fd, interest: [.read, .write, .edgeTriggered])
                self.shareTime()
                if attempt.isConnected { self.connected() }
                return
            } catch {
                self.noteFailure(error)
                self.closeTransport()
            }
        }
        self.fail(self.lastFailure ?? .unresolved(host: self.origin.host, reason: "no addresses"))
    }

    private func noteFailure(_ error: SystemError) {
        if case .forbidden = self.lastFailure { return }
        self.lastFailure = .connectFailed(error)
    }

    /// An address that does not answer leaves time for the others.
    private func shareTime() {
        guard let exchange: ClientExchange = self.exchange else { return }
        let now: UInt64 = self.loop.now
        let left: UInt64 = exchange.connectDeadline > now ? exchange.connectDeadline - now : 0
        self.watchUntil(.connect, now + left / UInt64(self.addresses.count + 1))
    }

    func connectTimedOut() {
        guard self.phase == .connecting, !self.addresses.isEmpty else {
            self.fail(.timedOut(.connect))
            return
        }
        self.closeTransport()
        self.connectNext()
    }

    /// The kernel says that the attempt has ended one way or the other.
    func connectEnded() {
        guard let transport: Transport = self.transport else { return }
        let code: Int32 = Socket.pendingError(transport.fd)
        if code == 0 {
            self.connected()
            return
        }
        self.noteFailure(SystemError(code: code, call: "connect"))
        self.closeTransport()
        self.connectNext()
    }

    private func connected() {
        guard let exchange: ClientExchange = self.exchange, let transport: Transport = self.transport else { return }
        self.addresses = []
        self.isWritable = true
        self.watchUntil(.connect, exchange.connectDeadline)
        guard self.origin.scheme == .https else {
            self.sendRequest()
            self.advance()
            return
        }
        guard let context: TLSContext = self.core.configuration.tls else {
            self.fail(.invalidRequest("this client is not set up for https"))
            return
        }
        do throws(TLSError) {
            let session: TLSSession = try TLSSession(
                client: context, descriptor: transport.fd, host: self.origin.host,
                peer: "\(self.origin.host):\(self.origin.port)")
            self.transport = Transport(fd: transport.fd, session: session)
        } catch {
            self.fail(.tls(error.description))
            return
        }
        self.phase = .handshake
        self.advance()
    }

    func stepHandshake() {
        switch self.transport?.handshake() {
        case .done:
            self.isReadable = true
            self.sendRequest()
        case .wantRead, .wantWrite: return
        case .failed(let error): self.fail(.tls(error.description))
        case .closed, nil: self.fail(.tls("the server closed the connection in the TLS handshake"))
        }
    }
}
