import Glibc

/// TCP ports for servers that must know theirs beforehand. Where port 0 will do, use that instead.
package enum FreePort {
    /// A port of 127.0.0.1 on which nothing listened a moment ago. The kernel hands them out in turn, so that the same one
    /// does not come back soon.
    package static func next() -> UInt16 {
        let descriptor: Int32 = socket(AF_INET, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
        precondition(descriptor >= 0, "cannot make a socket: errno \(errno)")
        defer { close(descriptor) }
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
        var length = socklen_t(MemoryLayout<sockaddr_in>.size)
        let result: Int32 = withUnsafeMutablePointer(to: &address) {
            (pointer: UnsafeMutablePointer<sockaddr_in>) -> Int32 in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                (any: UnsafeMutablePointer<sockaddr>) -> Int32 in
                bind(descriptor, any, length) == 0 ? getsockname(descriptor, any, &length) : -1
            }
        }
        precondition(result == 0, "cannot bind a port of 127.0.0.1: errno \(errno)")
        return UInt16(bigEndian: address.sin_port)
    }
}
