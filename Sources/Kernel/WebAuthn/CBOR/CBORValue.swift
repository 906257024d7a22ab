/// A value of CBOR (RFC 8949), as far as authenticators use it: no tags, no floating point, no undefined.
package indirect enum CBORValue: Sendable, Equatable {
    case unsigned(UInt64)
    /// Minus one, minus this.
    case negative(UInt64)
    case bytes([UInt8])
    case text(String)
    case array([CBORValue])
    case map([CBORMember])
    case bool(Bool)
    case null

    /// The number, where it fits.
    package var integer: Int64? {
        switch self {
        case .unsigned(let value): Int64(exactly: value)
        case .negative(let value): Int64(exactly: value).map { -1 - $0 }
        default: nil
        }
    }

    package var bytes: [UInt8]? { if case .bytes(let bytes) = self { bytes } else { nil } }
    package var text: String? { if case .text(let text) = self { text } else { nil } }
    package var members: [CBORMember]? { if case .map(let members) = self { members } else { nil } }

    /// The member of a map with this text as its key.
    package subscript(key: String) -> CBORValue? { self.members?.first { $0.key == .text(key) }?.value }

    /// The member of a map with this number as its key.
    package subscript(key: Int64) -> CBORValue? { self.members?.first { $0.key.integer == key }?.value }
}

/// One member of a map.
package struct CBORMember: Sendable, Equatable {
    package let key: CBORValue
    package let value: CBORValue

    package init(_ key: CBORValue, _ value: CBORValue) {
        self.key = key
        self.value = value
    }
}

/// Why bytes are not read as CBOR.
package struct CBORError: Error, Equatable, CustomStringConvertible {
    package let offset: Int
    package let message: String

    package var description: String { "CBOR at byte \(self.offset): \(self.message)" }
}
