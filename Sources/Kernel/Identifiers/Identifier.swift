package import Time

/// Ids of the platform's things: a prefix that names the kind, `_`, and a UUID of version 7: `api_0190a5c2-7d1e-…`.
///
/// Prefixes in use: `api dep app sub key usr tok tsk evt ses gw tgt`.
package enum Identifier {
    /// A fresh id of the kind `prefix`.
    package static func make(_ prefix: String, now: Timestamp) -> String {
        prefix + "_" + UUIDv7.make(now: now).text
    }

    /// Whether `text` is an id of the kind `prefix`. For ids that came from outside, before they reach a query.
    package static func isValid(_ text: String, prefix: String) -> Bool {
        guard text.utf8.count == prefix.utf8.count + 37, text.hasPrefix(prefix + "_") else { return false }
        return UUIDv7(text: String(text.suffix(36))) != nil
    }
}

/// Names people choose for APIs, tenants, environments: 1 to 63 lower-case letters, digits and hyphens, no hyphen at
/// either end, so that they fit into addresses, host names and file names as they are.
package enum Slug {
    package static let lengthMax: Int = 63

    /// What is wrong with `text`, as the rest of a sentence about it, or nil when it is a good slug.
    package static func validate(_ text: String) -> String? {
        if text.isEmpty { return "must not be empty" }
        if text.utf8.count > Slug.lengthMax { return "must have at most \(Slug.lengthMax) characters" }
        for byte in text.utf8 {
            switch byte {
            case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"):
                continue
            default: return "must contain only lower-case letters, digits and hyphens (a-z, 0-9, -)"
            }
        }
        if text.utf8.first == UInt8(ascii: "-") || text.utf8.last == UInt8(ascii: "-") {
            return "must begin and end with a letter or a digit"
        }
        return nil
    }
}
