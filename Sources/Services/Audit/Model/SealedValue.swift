import Bytes
package import Crypto
package import JSON

/// A value of an entry that opens with one person's key only (docs/reference/audit-leaf.md).
package struct SealedValue: Sendable, Equatable {
    static let keyMember: String = "$key"
    static let sealedMember: String = "$sealed"

    package let key: String
    let bytes: [UInt8]

    /// - Returns: nil unless it has exactly the two members, and they are what they should be.
    package init?(_ value: JSONValue) {
        guard let object: JSONObject = value.object, object.members.count == 2,
            let key: String = object[Self.keyMember]?.text, let text: String = object[Self.sealedMember]?.text,
            let bytes: [UInt8] = Base64.decodeURL(text)
        else { return nil }
        self.key = key
        self.bytes = bytes
    }

    /// Seals a value for one leaf.
    package static func seal(
        _ value: JSONValue, key: String, bytes: [UInt8], leaf: String
    ) throws(CryptoError) -> JSONObject {
        let sealed: [UInt8] = try AESGCM.seal(value.canonical(), key: bytes, associatedData: Array(leaf.utf8))
        return [Self.keyMember: .string(key), Self.sealedMember: .string(Base64.encodeURL(sealed))]
    }

    /// - Returns: nil when the key is another, or the value was moved here from another leaf.
    package func opened(with key: [UInt8], leaf: String) -> JSONValue? {
        guard let plain: [UInt8] = try? AESGCM.open(self.bytes, key: key, associatedData: Array(leaf.utf8)) else {
            return nil
        }
        return try? JSONReader.parse(plain)
    }
}

/// Shows entries to a reader: sealed values opened, closed, or told to be erased.
struct EntryOpener: Sendable {
    /// What stands for a value that this reader does not get.
    static let closed: JSONValue = .object(["sealed": true])
    /// What stands for a value whose key was destroyed.
    static let erased: JSONValue = .object(["erased": true])

    /// Which values to open.
    enum Reach: Sendable {
        case nothing
        case everything
        /// Only what these keys seal.
        case only(Set<String>)

        func includes(_ key: String) -> Bool {
            switch self {
            case .nothing: false
            case .everything: true
            case .only(let keys): keys.contains(key)
            }
        }
    }

    let reach: Reach
    /// The keys that are there, by id.
    let keys: [String: [UInt8]]

    /// The ids of the keys that seal values of `entries` within `reach`.
    static func keysNeeded(for entries: [JSONValue], _ reach: Reach) -> Set<String> {
        var needed: Set<String> = []
        for entry in entries {
            for part in [entry["actor"]?["ip"], entry["changes"]] {
                if let part: JSONValue { Self.collect(part, reach, into: &needed) }
            }
        }
        return needed
    }

    private static func collect(_ value: JSONValue, _ reach: Reach, into needed: inout Set<String>) {
        if let sealed: SealedValue = SealedValue(value) {
            if reach.includes(sealed.key) { needed.insert(sealed.key) }
            return
        }
        switch value {
        case .object(let object): for member in object.members { Self.collect(member.value, reach, into: &needed) }
        case .array(let elements): for element in elements { Self.collect(element, reach, into: &needed) }
        default: return
        }
    }

    /// The entry as the reader gets it.
    func shown(_ entry: JSONValue) -> JSONValue {
        guard var object: JSONObject = entry.object else { return entry }
        let leaf: String = entry["id"]?.text ?? ""
        if var actor: JSONObject = object["actor"]?.object, let ip: JSONValue = actor["ip"] {
            actor["ip"] = self.shown(ip, leaf)
            object["actor"] = .object(actor)
        }
        if let changes: JSONValue = object["changes"] { object["changes"] = self.shown(changes, leaf) }
        return .object(object)
    }

    private func shown(_ value: JSONValue, _ leaf: String) -> JSONValue {
        if let sealed: SealedValue = SealedValue(value) {
            guard self.reach.includes(sealed.key) else { return Self.closed }
            return self.keys[sealed.key].flatMap { sealed.opened(with: $0, leaf: leaf) } ?? Self.erased
        }
        switch value {
        case .object(let object):
            var result: JSONObject = JSONObject()
            for member in object.members { result.append(member.key, self.shown(member.value, leaf)) }
            return .object(result)
        case .array(let elements): return .array(elements.map { (element: JSONValue) in self.shown(element, leaf) })
        default: return value
        }
    }
}
