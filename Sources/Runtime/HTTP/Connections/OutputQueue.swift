import EventLoops
import Glibc

/// Bytes on their way to a socket, in order, as the arrays they came in.
struct OutputQueue {
    private var segments: [[UInt8]] = []
    /// The first segment not written completely, and how much of it is.
    private var first: Int = 0
    private var offset: Int = 0
    /// Bytes not written yet.
    private(set) var count: Int = 0

    var isEmpty: Bool { self.count == 0 }

    mutating func append(_ bytes: [UInt8]) {
        if bytes.isEmpty { return }
        self.segments.append(bytes)
        self.count += bytes.count
    }

    mutating func removeAll() { self = OutputQueue() }

    /// Writes as much as the transport takes. Returns how it ended: `.bytes` says that all is written.
    mutating func flush(_ transport: Transport) -> Transfer {
        while self.count > 0 {
            let result: Transfer = transport.isTLS ? self.writeFirst(transport) : self.writeMany(transport.fd)
            guard case .bytes(let written) = result else { return result }
            self.advance(written)
        }
        return .bytes(0)
    }

    private func writeFirst(_ transport: Transport) -> Transfer {
        self.segments[self.first].withUnsafeBytes {
            transport.send(UnsafeRawBufferPointer(rebasing: $0[self.offset...]))
        }
    }

    /// The first segment, together with the one after it: a head and its body leave in one call.
    private func writeMany(_ fd: Int32) -> Transfer {
        self.segments[self.first].withUnsafeBytes { (head: UnsafeRawBufferPointer) -> Transfer in
            guard let base: UnsafeRawPointer = head.baseAddress else { return .bytes(0) }
            let start: UnsafeRawPointer = base + self.offset
            let count: Int = head.count - self.offset
            if self.first + 1 == self.segments.count { return Transfer(sent: Socket.send(fd, start, count)) }
            return self.segments[self.first + 1].withUnsafeBytes { (body: UnsafeRawBufferPointer) -> Transfer in
                let vectors: [2 of iovec] = [
                    OutputQueue.vector(start, count), OutputQueue.vector(body.baseAddress, body.count),
                ]
                return withUnsafeBytes(of: vectors) { (raw: UnsafeRawBufferPointer) -> Transfer in
                    raw.withMemoryRebound(to: iovec.self) { (pair: UnsafeBufferPointer<iovec>) -> Transfer in
                        guard let pointer: UnsafePointer<iovec> = pair.baseAddress else { return .bytes(0) }
                        return Transfer(sent: Socket.send(fd, pointer, count: pair.count))
                    }
                }
            }
        }
    }

    /// The kernel only reads through the pointer, whatever its type says.
    private static func vector(_ start: UnsafeRawPointer?, _ count: Int) -> iovec {
        iovec(iov_base: UnsafeMutableRawPointer(mutating: start), iov_len: count)
    }

    private mutating func advance(_ written: Int) {
        self.count -= written
        if self.count == 0 {
            self.segments.removeAll(keepingCapacity: self.segments.count <= 2)
            self.first = 0
            self.offset = 0
            return
        }
        var left: Int = written
        while left > 0 {
            let rest: Int = self.segments[self.first].count - self.offset
            if left < rest {
                self.offset += left
                return
            }
            left -= rest
            self.segments[self.first] = []
            self.first += 1
            self.offset = 0
        }
    }
}
