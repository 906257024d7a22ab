/// Entity tags and the conditions that name them (RFC 9110, 8.8.3 and 13.1).
enum EntityTag {
    /// The tags of a list such as `"a", W/"b"`; nil when it is `*`. What is no tag is passed over.
    static func list(_ text: String) -> [String]? {
        let bytes: [UInt8] = Array(text.utf8)
        var tags: [String] = []
        var position: Int = 0
        while position < bytes.count {
            if bytes[position] == 0x2A, tags.isEmpty { return nil }
            let start: Int = position
            if bytes[position] == 0x57, position + 1 < bytes.count, bytes[position + 1] == 0x2F { position += 2 }
            guard position < bytes.count, bytes[position] == 0x22 else {
                position = max(position, start + 1)
                continue
            }
            position += 1
            while position < bytes.count, bytes[position] != 0x22 { position += 1 }
            guard position < bytes.count else { return tags }
            position += 1
            tags.append(String(decoding: bytes[start..<position], as: UTF8.self))
        }
        return tags
    }

    /// Whether two tags name the same, weak or not (RFC 9110, 8.8.3.2).
    static func weaklyEqual(_ left: String, _ right: String) -> Bool { self.opaque(left) == self.opaque(right) }

    private static func opaque(_ tag: String) -> Substring { tag.hasPrefix("W/") ? tag.dropFirst(2) : tag[...] }

    /// The tag as a weak one: for a representation that is not the same byte by byte any more.
    static func weakened(_ tag: String) -> String { tag.hasPrefix("W/") ? tag : "W/" + tag }
}
