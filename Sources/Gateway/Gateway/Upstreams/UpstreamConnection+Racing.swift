import EventLoops
import TLS

/// A second attempt to connect, to an address of the other family, beside one that is slow.
final class RivalConnect: ReadinessHandler {
    /// Kept alive until the race is over: the registration of its own descriptor may end before this one's.
    var owner: UpstreamConnection?
    let fd: Int32
    let address: SocketAddress

    init(_ owner: UpstreamConnection, fd: Int32, address: SocketAddress) {
        self.owner = owner
        self.fd = fd
        self.address = address
    }

    override func ready(_ events: Readiness) { self.owner?.rivalEnded(events) }
}

/// Names with addresses of both families (RFC 8305): who does not answer at once gets a rival, and the first to connect is used.
extension UpstreamConnection {
    /// How long one attempt goes on alone. 250 ms, as section 5 recommends.
    static let aloneFor: UInt64 = 250_000_000

    /// Begins the second attempt; false when there is none to make.
    func startRival() -> Bool {
        guard let address: SocketAddress = self.rivalAddress else { return false }
        self.rivalAddress = nil
        guard let (fd, _): (Int32, Bool) = try? Socket.connect(address) else {
            self.pool.address.failed(address, now: self.loop.events.now)
            return false
        }
        let rival: RivalConnect = RivalConnect(self, fd: fd, address: address)
        do throws(SystemError) {
            try self.loop.events.register(rival, fd: fd, interest: [.read, .write, .edgeTriggered])
        } catch {
            Socket.close(fd)
            return false
        }
        self.rival = rival
        self.loop.events.schedule(self.timer, at: self.connectUntil)
        return true
    }

    /// The first attempt failed; true while the second one goes on.
    func rivalGoesOn() -> Bool {
        self.pool.address.failed(self.remote, now: self.loop.events.now)
        guard self.rival != nil || self.startRival() else { return false }
        self.closeFirst()
        return true
    }

    /// The second attempt came to an end.
    fileprivate func rivalEnded(_ events: Readiness) {
        guard let rival: RivalConnect = self.rival, events.isWritable || events.isBroken else { return }
        if Socket.pendingError(rival.fd) != 0 {
            self.pool.address.failed(rival.address, now: self.loop.events.now)
            self.dropRival()
            if self.channel.fd < 0 { self.fail(.connectFailed) }
            return
        }
        self.adopt(rival)
    }

    /// Goes on with the rival's connection.
    private func adopt(_ rival: RivalConnect) {
        self.rival = nil
        rival.owner = nil
        self.loop.events.deregister(fd: rival.fd)
        if self.channel.fd >= 0 {
            // It may only be slow; the next connections begin with the other one for a while.
            self.pool.address.failed(self.remote, now: self.loop.events.now)
            self.closeFirst()
        }
        self.remote = rival.address
        let tls: TLSSession? = self.pool.tls?.session(rival.fd)
        self.channel = Channel(fd: rival.fd, tls: tls)
        do throws(SystemError) {
            try self.loop.events.register(self, fd: rival.fd, interest: [.read, .write, .edgeTriggered])
        } catch {
            self.fail(.connectFailed)
            return
        }
        if self.pool.tls != nil, tls == nil {
            self.fail(.connectFailed)
            return
        }
        self.connectionMade()
    }

    private func closeFirst() {
        self.loop.events.deregister(fd: self.channel.fd, closing: true)
        Socket.close(self.channel.fd)
        self.channel = Channel(fd: -1, tls: nil)
    }

    /// Ends the second attempt.
    func dropRival() {
        guard let rival: RivalConnect = self.rival else { return }
        self.rival = nil
        rival.owner = nil
        self.loop.events.deregister(fd: rival.fd, closing: true)
        Socket.close(rival.fd)
    }
}
