package import EventLoops

/// Whose word on the caller's address counts: proxies in front of the platform.
///
/// A connection of anybody else comes from whoever made it, whatever its fields say. Where a trusted proxy made it, the one field
/// that proxies write here is read from its end, because each proxy appends the address it was called from: the last address that
/// is no trusted proxy is the caller. What stands before it the caller may have written, and is not looked at. A place that should
/// hold an address and does not, or more trusted hops than `hopsMax`: the connection's own address counts.
///
/// The other field is never read: proxies pass on as it came what they do not write themselves, so it is the caller's word.
package struct TrustedProxies: Sendable, Equatable {
    /// The field that proxies write.
    package enum Field: String, Sendable, CaseIterable {
        /// `X-Forwarded-For: 192.0.2.7, 10.0.0.1`; addresses may have ports.
        case xForwardedFor = "x-forwarded-for"
        /// `Forwarded: for=192.0.2.7, for="[2001:db8::7]:4711"` (RFC 7239).
        case forwarded
    }

    /// Ranges at most.
    package static let rangesMax: Int = 64
    /// Proxies in a row at most.
    package static let hopsMax: Int = 32
    /// Longest element of a field, bytes.
    private static let elementBytesMax: Int = 1_024

    package var ranges: [AddressRange]
    package var field: Field

    package init(ranges: [AddressRange] = [], field: Field = .xForwardedFor) {
        self.ranges = ranges
        self.field = field
    }

    /// Who sent a request: the one address that is throttled, audited and shown. IPv4 inside IPv6 is told as IPv4.
    ///
    /// - Parameter peer: the other end of the connection.
    package func client(peer: SocketAddress, fields: HTTPFields) -> SocketAddress {
        let peer: SocketAddress = peer.unmapped
        guard self.isTrusted(peer) else { return peer }
        var client: SocketAddress = peer
        var hops: Int = 0
        for line in fields.all(self.field.rawValue).reversed() {
            var rest: Substring? = Substring(line)
            while let present: Substring = rest {
                hops += 1
                guard hops <= Self.hopsMax else { return peer }
                let comma: Substring.Index? = present.utf8.lastIndex(of: UInt8(ascii: ","))
                let element: Substring = comma.map { present[present.utf8.index(after: $0)...] } ?? present
                guard let address: SocketAddress = self.address(in: element) else { return peer }
                if !self.isTrusted(address) { return address }
                client = address
                rest = comma.map { present[..<$0] }
            }
        }
        return client
    }

    private func isTrusted(_ address: SocketAddress) -> Bool {
        for range in self.ranges where range.contains(address) { return true }
        return false
    }

    private func address(in element: Substring) -> SocketAddress? {
        guard element.utf8.count <= Self.elementBytesMax else { return nil }
        let text: Substring = ASCIICase.trimmed(element)
        switch self.field {
        case .xForwardedFor: return Self.address(text)
        case .forwarded: return Self.forwardedFor(text).flatMap { Self.address($0) }
        }
    }

    /// `192.0.2.7`, `192.0.2.7:4711`, `2001:db8::7`, `[2001:db8::7]` or `[2001:db8::7]:4711`.
    private static func address(_ text: Substring) -> SocketAddress? {
        guard !text.isEmpty, text.utf8.allSatisfy({ self.isOfAddresses($0) }) else { return nil }
        if let address: SocketAddress = SocketAddress(host: text, port: 0) { return address.unmapped }
        if text.first == "[", text.last == "]" {
            let inner: Substring = text.dropFirst().dropLast()
            return inner.contains(":") ? SocketAddress(host: inner, port: 0)?.unmapped : nil
        }
        return SocketAddress(text)?.with(port: 0).unmapped
    }

    private static func isOfAddresses(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "0")...UInt8(ascii: ":"), UInt8(ascii: "a")...UInt8(ascii: "f"),
            UInt8(ascii: "A")...UInt8(ascii: "F"), UInt8(ascii: "."), UInt8(ascii: "["), UInt8(ascii: "]"):
            return true
        default: return false
        }
    }

    /// The value of `for` in one element of `Forwarded`; nil where the element breaks the rules or has not exactly one.
    ///
    /// The rules are kept to the letter: the element was cut off at a comma that may have stood inside a quoted value, and what
    /// begins in the middle of one never passes them.
    private static func forwardedFor(_ element: Substring) -> Substring? {
        var bytes: Substring.UTF8View = element.utf8
        var found: String?
        while true {
            guard let equals: Substring.Index = bytes.firstIndex(of: UInt8(ascii: "=")) else { return nil }
            let name: Substring = Substring(bytes[..<equals])
            guard HeadWriter.isToken(String(name)) else { return nil }
            bytes = bytes[bytes.index(after: equals)...]
            guard let value: String = self.value(&bytes) else { return nil }
            if ASCIICase.equal(name, "for") {
                guard found == nil else { return nil }
                found = value
            }
            if bytes.isEmpty { return found.map { Substring($0) } }
            guard bytes.removeFirst() == UInt8(ascii: ";") else { return nil }
        }
    }

    /// Takes a token or a quoted string off the front.
    private static func value(_ bytes: inout Substring.UTF8View) -> String? {
        var text: [UInt8] = []
        guard bytes.first == UInt8(ascii: "\"") else {
            while let byte: UInt8 = bytes.first, byte != UInt8(ascii: ";") {
                text.append(byte)
                bytes.removeFirst()
            }
            let token: String = String(decoding: text, as: UTF8.self)
            return HeadWriter.isToken(token) ? token : nil
        }
        bytes.removeFirst()
        while let byte: UInt8 = bytes.popFirst() {
            if byte == UInt8(ascii: "\"") { return String(decoding: text, as: UTF8.self) }
            guard byte == UInt8(ascii: "\\") else {
                text.append(byte)
                continue
            }
            guard let escaped: UInt8 = bytes.popFirst() else { return nil }
            text.append(escaped)
        }
        return nil
    }
}

extension SocketAddress {
    /// IPv4 in its mapped form (`::ffff:192.0.2.7`) as IPv4; everything else as it is.
    fileprivate var unmapped: SocketAddress {
        guard self.family == .v6, self.bytes[10] == 0xFF, self.bytes[11] == 0xFF else { return self }
        for index in 0..<10 where self.bytes[index] != 0 { return self }
        return SocketAddress(v4: self.bytes[12], self.bytes[13], self.bytes[14], self.bytes[15], port: self.port)
    }
}
