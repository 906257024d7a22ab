import EventLoops

extension ClientConnection {
    /// Sends two pieces, one behind the other: bytes taken, or -errno.
    @inline(__always)
    func transmit(_ first: UnsafeRawPointer, _ firstCount: Int, _ second: UnsafeRawPointer, _ secondCount: Int) -> Int {
        if secondCount == 0 { return Socket.send(self.fd, first, firstCount) }
        if firstCount == 0 { return Socket.send(self.fd, second, secondCount) }
        return Socket.send(self.fd, first, firstCount, second, secondCount)
    }
}
