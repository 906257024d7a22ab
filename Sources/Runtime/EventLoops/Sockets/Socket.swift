package import CLinux
import Glibc

/// TCP sockets: made, bound, connected, all non-blocking and close-on-exec.
package enum Socket {
    /// Connections the kernel may hold ready before they are accepted; the kernel's own somaxconn caps it.
    package static let backlog: Int32 = 4096

    /// Listens on the address. With `reusePort` several sockets share it and the kernel deals connections out.
    package static func listen(_ address: SocketAddress, reusePort: Bool) throws(SystemError) -> Int32 {
        let fd: Int32 = try self.open(address.family)
        do throws(SystemError) {
            try self.set(fd, SOL_SOCKET, SO_REUSEADDR, 1)
            if reusePort { try self.set(fd, SOL_SOCKET, SO_REUSEPORT, 1) }
            if address.family == .v6 { try self.set(fd, Int32(IPPROTO_IPV6), IPV6_V6ONLY, 1) }
            let bound: Int32 = address.withKernelForm { Glibc.bind(fd, $0, $1) }
            if bound != 0 { throw SystemError.last("bind(\(address))") }
            if Glibc.listen(fd, self.backlog) != 0 { throw SystemError.last("listen(\(address))") }
            return fd
        } catch {
            close(fd)
            throw error
        }
    }

    /// Fails with EADDRINUSE if anyone listens on the address, also someone who would share it through SO_REUSEPORT.
    /// Port 0 is always free.
    package static func probe(_ address: SocketAddress) throws(SystemError) {
        if address.port == 0 { return }
        close(try self.listen(address, reusePort: false))
    }

    /// One listening socket a loop on the same address, after a probe. Port 0 picks a free port once for all.
    package static func listen(_ address: SocketAddress, count: Int) throws(SystemError) -> (
        sockets: [Int32], bound: SocketAddress
    ) {
        try self.probe(address)
        var sockets: [Int32] = []
        var bound: SocketAddress = address
        do throws(SystemError) {
            for _ in 0..<count {
                sockets.append(try self.listen(bound, reusePort: true))
                if bound.port == 0 { bound = try self.localAddress(sockets[0]) }
            }
        } catch {
            for fd in sockets { close(fd) }
            throw error
        }
        return (sockets, bound)
    }

    /// Begins to connect. The socket becomes writable when the attempt has ended; `pendingError` says how.
    package static func connect(_ address: SocketAddress) throws(SystemError) -> (fd: Int32, isConnected: Bool) {
        let fd: Int32 = try self.open(address.family)
        self.disableDelay(fd)
        let result: Int32 = address.withKernelForm { Glibc.connect(fd, $0, $1) }
        if result == 0 { return (fd, true) }
        if errno == EINPROGRESS || errno == EINTR { return (fd, false) }
        let failure: SystemError = SystemError.last("connect(\(address))")
        close(fd)
        throw failure
    }

    /// The errno of a connect that has ended: 0 when it succeeded.
    package static func pendingError(_ fd: Int32) -> Int32 {
        var code: Int32 = 0
        var length: socklen_t = socklen_t(MemoryLayout<Int32>.size)
        if getsockopt(fd, SOL_SOCKET, SO_ERROR, &code, &length) != 0 { return errno }
        return code
    }

    package enum Accepted {
        case connection(Int32, SocketAddress)
        /// Nothing waits.
        case none
        /// The peer went away before it was accepted, or its family is unknown: try the next.
        case skipped
        /// Out of descriptors or memory: stop accepting for a while.
        case exhausted(Int32)
    }

    /// Takes one waiting connection, with Nagle's delay off.
    package static func accept(_ listener: Int32) -> Accepted {
        var storage: sockaddr_storage = sockaddr_storage()
        var length: socklen_t = socklen_t(MemoryLayout<sockaddr_storage>.size)
        let fd: Int32 = withUnsafeMutablePointer(to: &storage) {
            (pointer: UnsafeMutablePointer<sockaddr_storage>) -> Int32 in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { clinux_accept(listener, $0, &length) }
        }
        if fd < 0 {
            switch errno {
            case EAGAIN: return .none
            case EMFILE, ENFILE, ENOBUFS, ENOMEM: return .exhausted(errno)
            default: return .skipped
            }
        }
        guard let address: SocketAddress = SocketAddress(storage) else {
            close(fd)
            return .skipped
        }
        self.disableDelay(fd)
        return .connection(fd, address)
    }

    /// Bytes received (0: end of stream), or -errno. EAGAIN means nothing waits.
    @inlinable package static func receive(_ fd: Int32, _ buffer: UnsafeMutableRawPointer, _ count: Int) -> Int {
        clinux_receive(fd, buffer, count)
    }

    /// Bytes taken by the kernel, or -errno. EAGAIN means its buffer is full.
    @inlinable package static func send(_ fd: Int32, _ bytes: UnsafeRawPointer, _ count: Int) -> Int {
        clinux_send(fd, bytes, count)
    }

    /// As `send`, gathered from several places in one call.
    @inlinable package static func send(_ fd: Int32, _ vectors: UnsafePointer<iovec>, count: Int) -> Int {
        clinux_send_vectors(fd, vectors, Int32(truncatingIfNeeded: count))
    }

    /// As `send`, of two pieces one behind the other in one call.
    @inlinable package static func send(
        _ fd: Int32, _ first: UnsafeRawPointer, _ firstCount: Int, _ second: UnsafeRawPointer, _ secondCount: Int
    ) -> Int {
        clinux_send_two(fd, first, firstCount, second, secondCount)
    }

    /// What `receive` and `send` return when the call would have blocked.
    package static let wouldBlock: Int = -Int(EAGAIN)

    /// Sends nothing more; the peer reads an end of stream.
    package static func finishWriting(_ fd: Int32) { _ = shutdown(fd, Int32(SHUT_WR)) }

    /// Closes with a reset instead of a farewell when `abruptly`: the peer learns at once that bytes were lost.
    package static func close(_ fd: Int32, abruptly: Bool = false) {
        if abruptly {
            var option: linger = linger(l_onoff: 1, l_linger: 0)
            _ = setsockopt(fd, SOL_SOCKET, SO_LINGER, &option, socklen_t(MemoryLayout<linger>.size))
        }
        // Linux frees the descriptor even when close reports EINTR, so it is never called twice.
        _ = Glibc.close(fd)
    }

    package static func localAddress(_ fd: Int32) throws(SystemError) -> SocketAddress {
        var storage: sockaddr_storage = sockaddr_storage()
        var length: socklen_t = socklen_t(MemoryLayout<sockaddr_storage>.size)
        let result: Int32 = withUnsafeMutablePointer(to: &storage) {
            (pointer: UnsafeMutablePointer<sockaddr_storage>) -> Int32 in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { getsockname(fd, $0, &length) }
        }
        if result != 0 { throw SystemError.last("getsockname") }
        guard let address: SocketAddress = SocketAddress(storage) else {
            throw SystemError(code: EAFNOSUPPORT, call: "getsockname")
        }
        return address
    }

    /// Whether connections can be accepted from it.
    static func isListening(_ fd: Int32) -> Bool {
        var value: Int32 = 0
        var length: socklen_t = socklen_t(MemoryLayout<Int32>.size)
        return getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &value, &length) == 0 && value != 0
    }

    /// Sends small writes at once. Fails only on sockets that are gone, which the next transfer reports.
    package static func disableDelay(_ fd: Int32) {
        var on: Int32 = 1
        _ = setsockopt(fd, Int32(IPPROTO_TCP), TCP_NODELAY, &on, socklen_t(MemoryLayout<Int32>.size))
    }

    private static func open(_ family: SocketAddress.Family) throws(SystemError) -> Int32 {
        let fd: Int32 = clinux_socket(family == .v4 ? AF_INET : AF_INET6, Int32(SOCK_STREAM.rawValue))
        if fd < 0 { throw SystemError.last("socket") }
        return fd
    }

    private static func set(_ fd: Int32, _ level: Int32, _ option: Int32, _ value: Int32) throws(SystemError) {
        var value: Int32 = value
        if setsockopt(fd, level, option, &value, socklen_t(MemoryLayout<Int32>.size)) != 0 {
            throw SystemError.last("setsockopt(\(option))")
        }
    }
}
