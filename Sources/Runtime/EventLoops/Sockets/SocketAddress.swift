import CLinux
import Glibc

/// An IPv4 or IPv6 address with a port.
package struct SocketAddress: Sendable, Hashable, CustomStringConvertible {
    package enum Family: UInt8, Sendable { case v4, v6 }

    package let family: Family
    /// The address in network order; of IPv4 the last four bytes count, as in its mapped form.
    package let bytes: [16 of UInt8]
    package let port: UInt16

    package init(v4 first: UInt8, _ second: UInt8, _ third: UInt8, _ fourth: UInt8, port: UInt16) {
        self.family = .v4
        var bytes: [16 of UInt8] = [16 of UInt8](repeating: 0)
        (bytes[10], bytes[11]) = (0xFF, 0xFF)
        (bytes[12], bytes[13], bytes[14], bytes[15]) = (first, second, third, fourth)
        self.bytes = bytes
        self.port = port
    }

    package init(v6 bytes: [16 of UInt8], port: UInt16) {
        self.family = .v6
        self.bytes = bytes
        self.port = port
    }

    package static func loopback(port: UInt16) -> SocketAddress { SocketAddress(v4: 127, 0, 0, 1, port: port) }

    /// Reads "127.0.0.1:8000" or "[::1]:80"; nil for anything else. Host names are not looked up.
    package init?(_ text: some StringProtocol) {
        guard let colon: Substring.Index = Substring(text).lastIndex(of: ":") else { return nil }
        let whole: Substring = Substring(text)
        guard let port: UInt16 = SocketAddress.port(whole[whole.index(after: colon)...]) else { return nil }
        var host: Substring = whole[..<colon]
        if host.first == "[" {
            guard host.last == "]", host.count > 2 else { return nil }
            host = host.dropFirst().dropLast()
            guard host.contains(":") else { return nil }
        } else if host.contains(":") {
            return nil
        }
        self.init(host: host, port: port)
    }

    /// Reads a bare address, "127.0.0.1" or "::1".
    package init?(host: some StringProtocol, port: UInt16) {
        let text: String = String(host)
        var v4: in_addr = in_addr()
        if inet_pton(AF_INET, text, &v4) == 1 {
            let raw: UInt32 = v4.s_addr
            self.init(
                v4: UInt8(truncatingIfNeeded: raw), UInt8(truncatingIfNeeded: raw >> 8),
                UInt8(truncatingIfNeeded: raw >> 16), UInt8(truncatingIfNeeded: raw >> 24), port: port)
            return
        }
        var bytes: [16 of UInt8] = [16 of UInt8](repeating: 0)
        var v6: in6_addr = in6_addr()
        guard inet_pton(AF_INET6, text, &v6) == 1 else { return nil }
        withUnsafeBytes(of: &v6) { (raw: UnsafeRawBufferPointer) in
            for index in 0..<16 { bytes[index] = raw[index] }
        }
        self.init(v6: bytes, port: port)
    }

    /// Takes a `struct sockaddr` of IPv4 or IPv6, such as the resolver returns; nil for other families or a cut one.
    package init?(kernelForm: UnsafeRawPointer, length: Int) {
        var storage: sockaddr_storage = sockaddr_storage()
        guard length <= MemoryLayout<sockaddr_storage>.size else { return nil }
        withUnsafeMutableBytes(of: &storage) {
            $0.copyMemory(from: UnsafeRawBufferPointer(start: kernelForm, count: length))
        }
        self.init(storage)
    }

    // C types stay out of what other rooms see: whether `sockaddr` belongs to Glibc or to CLinux depends on the order in
    // which the compiler met the headers.

    /// Takes what the kernel filled in; nil for other families.
    init?(_ storage: sockaddr_storage) {
        var storage: sockaddr_storage = storage
        switch Int32(storage.ss_family) {
        case AF_INET:
            self = withUnsafeBytes(of: &storage) { (raw: UnsafeRawBufferPointer) -> SocketAddress in
                let port: UInt16 = UInt16(raw[2]) << 8 | UInt16(raw[3])
                return SocketAddress(v4: raw[4], raw[5], raw[6], raw[7], port: port)
            }
        case AF_INET6:
            self = withUnsafeBytes(of: &storage) { (raw: UnsafeRawBufferPointer) -> SocketAddress in
                var bytes: [16 of UInt8] = [16 of UInt8](repeating: 0)
                for index in 0..<16 { bytes[index] = raw[8 + index] }
                return SocketAddress(v6: bytes, port: UInt16(raw[2]) << 8 | UInt16(raw[3]))
            }
        default:
            return nil
        }
    }

    package static func == (left: SocketAddress, right: SocketAddress) -> Bool {
        guard left.family == right.family, left.port == right.port else { return false }
        for index in 0..<16 where left.bytes[index] != right.bytes[index] { return false }
        return true
    }

    package func hash(into hasher: inout Hasher) {
        hasher.combine(self.family)
        hasher.combine(self.port)
        for index in 0..<16 { hasher.combine(self.bytes[index]) }
    }

    package func with(port: UInt16) -> SocketAddress {
        self.family == .v6
            ? SocketAddress(v6: self.bytes, port: port)
            : SocketAddress(v4: self.bytes[12], self.bytes[13], self.bytes[14], self.bytes[15], port: port)
    }

    /// Whose doings count together: the address, of IPv6 its /64 network, because one customer has a whole one to choose from.
    /// Without a port.
    package var network: SocketAddress {
        guard self.family == .v6 else { return self.with(port: 0) }
        var bytes: [16 of UInt8] = self.bytes
        for index in 8..<16 { bytes[index] = 0 }
        return SocketAddress(v6: bytes, port: 0)
    }

    /// The address without port and brackets.
    package var host: String {
        withUnsafeTemporaryAllocation(of: CChar.self, capacity: Int(INET6_ADDRSTRLEN)) {
            (text: UnsafeMutableBufferPointer<CChar>) -> String in
            guard let start: UnsafeMutablePointer<CChar> = text.baseAddress else { return "" }
            let offset: Int = self.family == .v4 ? 12 : 0
            let written: UnsafePointer<CChar>? = withUnsafeBytes(of: self.bytes) { (raw: UnsafeRawBufferPointer) in
                guard let base: UnsafeRawPointer = raw.baseAddress else { return nil }
                return inet_ntop(self.family == .v4 ? AF_INET : AF_INET6, base + offset, start, socklen_t(text.count))
            }
            return written == nil ? "" : String(cString: start)
        }
    }

    package var description: String {
        self.family == .v4 ? "\(self.host):\(self.port)" : "[\(self.host)]:\(self.port)"
    }

    /// The kernel's form, valid inside the closure.
    func withKernelForm<Result>(_ body: (UnsafePointer<sockaddr>, socklen_t) -> Result) -> Result {
        var storage: sockaddr_storage = sockaddr_storage()
        let length: Int = self.family == .v4 ? MemoryLayout<sockaddr_in>.size : MemoryLayout<sockaddr_in6>.size
        storage.ss_family = sa_family_t(self.family == .v4 ? AF_INET : AF_INET6)
        return withUnsafeMutableBytes(of: &storage) { (raw: UnsafeMutableRawBufferPointer) -> Result in
            raw[2] = UInt8(truncatingIfNeeded: self.port >> 8)
            raw[3] = UInt8(truncatingIfNeeded: self.port)
            if self.family == .v4 {
                for index in 0..<4 { raw[4 + index] = self.bytes[12 + index] }
            } else {
                for index in 0..<16 { raw[8 + index] = self.bytes[index] }
            }
            return raw.withMemoryRebound(to: sockaddr.self) {
                body($0.baseAddress.unsafelyUnwrapped, socklen_t(length))
            }
        }
    }

    /// Decimal digits only, at most five, at most 65535.
    private static func port(_ text: Substring) -> UInt16? {
        guard !text.isEmpty, text.utf8.count <= 5, text.utf8.allSatisfy({ $0 >= 0x30 && $0 <= 0x39 }) else {
            return nil
        }
        return UInt16(text)
    }
}
