import EventLoops
import Glibc
import Synchronization

/// The addresses of all target hosts of the process. Names are looked up on a thread of its own, never on a loop: once before
/// a snapshot that names them goes live, and again every few seconds.
final class AddressBook: Sendable {
    private struct Key: Hashable {
        let host: String
        let port: UInt16
    }

    private let known: Mutex<[Key: TargetAddress]> = Mutex([:])

    /// The entry of a host; the same object for the same host and port.
    func address(_ host: String, _ port: UInt16) -> TargetAddress {
        let key: Key = Key(host: host, port: port)
        return self.known.withLock { (known: inout [Key: TargetAddress]) -> TargetAddress in
            if let address: TargetAddress = known[key] { return address }
            let address: TargetAddress = TargetAddress(host: host, port: port)
            known[key] = address
            return address
        }
    }

    /// Looks up names again, or only those that have no address yet. Blocks on the system's resolver.
    func refresh(onlyUnknown: Bool) {
        let names: [TargetAddress] = self.known.withLock { (known: inout [Key: TargetAddress]) -> [TargetAddress] in
            known.values.filter { onlyUnknown ? !$0.isKnown : !$0.isLiteral }
        }
        for name in names { name.update(AddressBook.lookUp(name.host, name.port)) }
    }

    /// Asks the system for the addresses of a name; blocks.
    static func lookUp(_ host: String, _ port: UInt16) -> [SocketAddress] {
        var hints: addrinfo = addrinfo()
        hints.ai_socktype = Int32(SOCK_STREAM.rawValue)
        hints.ai_flags = AI_ADDRCONFIG
        var list: UnsafeMutablePointer<addrinfo>?
        guard getaddrinfo(host, nil, &hints, &list) == 0 else { return [] }
        defer { freeaddrinfo(list) }
        var found: [SocketAddress] = []
        var entry: UnsafeMutablePointer<addrinfo>? = list
        while let current: UnsafeMutablePointer<addrinfo> = entry {
            if let address: SocketAddress = AddressBook.address(current.pointee, port) { found.append(address) }
            entry = current.pointee.ai_next
        }
        return found
    }

    private static func address(_ entry: addrinfo, _ port: UInt16) -> SocketAddress? {
        guard let raw: UnsafeMutablePointer<sockaddr> = entry.ai_addr else { return nil }
        var text: [CChar] = [CChar](repeating: 0, count: Int(NI_MAXHOST))
        let code: Int32 = getnameinfo(raw, entry.ai_addrlen, &text, socklen_t(text.count), nil, 0, NI_NUMERICHOST)
        guard code == 0 else { return nil }
        let end: Int = text.firstIndex(of: 0) ?? 0
        let host: String = String(decoding: text[..<end].map { UInt8(bitPattern: $0) }, as: UTF8.self)
        return SocketAddress(host: host, port: port)
    }
}
