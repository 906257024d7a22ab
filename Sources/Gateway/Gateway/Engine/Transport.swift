import EventLoops
import Glibc
import TLS

/// Moves bytes over a socket, in the clear or through TLS. Results are those of `Socket`: bytes, 0 at the end of the stream, or
/// -errno.
enum Transport {
    @inline(__always)
    static func receive(_ fd: Int32, _ tls: TLSSession?, _ buffer: UnsafeMutableRawPointer, _ count: Int) -> Int {
        guard let tls: TLSSession = tls else { return Socket.receive(fd, buffer, count) }
        return self.outcome(tls.read(into: UnsafeMutableRawBufferPointer(start: buffer, count: count)))
    }

    @inline(__always)
    static func send(_ fd: Int32, _ tls: TLSSession?, _ bytes: UnsafeRawPointer, _ count: Int) -> Int {
        guard let tls: TLSSession = tls else { return Socket.send(fd, bytes, count) }
        return self.write(tls, bytes, count)
    }

    /// A session takes a record at a time. Only when it would block will the kernel say that there is room again, so it is asked
    /// until then.
    private static func write(_ tls: TLSSession, _ bytes: UnsafeRawPointer, _ count: Int) -> Int {
        var sent: Int = 0
        while sent < count {
            let result: Int = self.outcome(tls.write(UnsafeRawBufferPointer(start: bytes + sent, count: count - sent)))
            if result <= 0 { return sent > 0 ? sent : result }
            sent += result
        }
        return sent
    }

    /// Sends two pieces, one behind the other; with one call where nothing is encrypted.
    @inline(__always)
    static func send(
        _ fd: Int32, _ tls: TLSSession?, _ first: UnsafeRawPointer, _ firstCount: Int, _ second: UnsafeRawPointer,
        _ secondCount: Int
    ) -> Int {
        if secondCount == 0 { return self.send(fd, tls, first, firstCount) }
        if firstCount == 0 { return self.send(fd, tls, second, secondCount) }
        if tls == nil { return Socket.send(fd, first, firstCount, second, secondCount) }
        let sent: Int = self.send(fd, tls, first, firstCount)
        if sent < firstCount { return sent }
        let more: Int = self.send(fd, tls, second, secondCount)
        // What was sent of the first piece counts; the failure shows again with the next call.
        return more < 0 ? sent : sent + more
    }

    private static func outcome(_ result: TLSResult) -> Int {
        switch result {
        case .done(let count): return count
        case .wantRead, .wantWrite: return Socket.wouldBlock
        case .closed: return 0
        case .failed: return -Int(ECONNRESET)
        }
    }
}
