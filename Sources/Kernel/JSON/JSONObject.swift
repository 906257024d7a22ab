/// The members of a JSON object, in order, each key once.
///
/// Small objects are searched member by member; from `indexedFrom` members on a hash index is kept, so that hostile objects with
/// many members cost no more a look-up than small ones.
package struct JSONObject: Sendable {
    package typealias Member = (key: String, value: JSONValue)

    /// From how many members on an index pays.
    static let indexedFrom: Int = 17

    package private(set) var members: [Member]
    /// Position by key; nil below `indexedFrom` members.
    private var index: [ExactKey: Int]?

    package init() {
        self.members = []
        self.index = nil
    }

    /// Takes members whose keys are known to be distinct; `index` may come from the reader that checked them.
    init(distinct members: [Member], index: [ExactKey: Int]? = nil) {
        self.members = members
        self.index = index
        if index == nil, members.count >= Self.indexedFrom { self.rebuildIndex() }
    }

    /// The members of a literal, whose keys must be distinct.
    init(literal pairs: [(String, JSONValue)]) {
        self.init()
        self.members.reserveCapacity(pairs.count)
        for (key, value) in pairs {
            precondition(self.position(of: key) == nil, "a literal names each key once")
            self.append(key, value)
        }
    }

    package var count: Int { self.members.count }
    package var isEmpty: Bool { self.members.isEmpty }
    package var keys: [String] { self.members.map(\.key) }

    /// The member's value. Setting replaces it where it stands or appends it; setting nil removes it (costs its whole length).
    package subscript(key: String) -> JSONValue? {
        get {
            guard let position: Int = self.position(of: key) else { return nil }
            return self.members[position].value
        }
        set {
            guard let value: JSONValue = newValue else { return self.remove(key) }
            if let position: Int = self.position(of: key) {
                self.members[position].value = value
            } else {
                self.append(key, value)
            }
        }
    }

    /// Adds a member at the end; `key` must not be present yet.
    package mutating func append(_ key: String, _ value: JSONValue) {
        assert(self.position(of: key) == nil, "an object has each key once")
        self.members.append((key: key, value: value))
        if self.index != nil {
            self.index?[ExactKey(key)] = self.members.count - 1
        } else if self.members.count >= Self.indexedFrom {
            self.rebuildIndex()
        }
    }

    /// Where `key` stands among the members, or nil.
    package func position(of key: String) -> Int? {
        if let index: [ExactKey: Int] = self.index { return index[ExactKey(key)] }
        for (position, member) in self.members.enumerated() where member.key.hasSameBytes(as: key) { return position }
        return nil
    }

    private mutating func remove(_ key: String) {
        guard let position: Int = self.position(of: key) else { return }
        self.members.remove(at: position)
        self.index = nil
        if self.members.count >= Self.indexedFrom { self.rebuildIndex() }
    }

    private mutating func rebuildIndex() {
        var index: [ExactKey: Int] = Dictionary(minimumCapacity: self.members.count)
        for (position, member) in self.members.enumerated() { index[ExactKey(member.key)] = position }
        self.index = index
    }
}

extension JSONObject: ExpressibleByDictionaryLiteral {
    package init(dictionaryLiteral members: (String, JSONValue)...) { self.init(literal: members) }
}

extension JSONObject: Equatable {
    /// Same keys with equal values, in any order.
    package static func == (left: JSONObject, right: JSONObject) -> Bool {
        guard left.count == right.count else { return false }
        for member: Member in left.members {
            guard let other: JSONValue = right[member.key], other == member.value else { return false }
        }
        return true
    }
}

/// A key that equals another only when the bytes are the same.
package struct ExactKey: Hashable, Sendable {
    package let text: String

    package init(_ text: String) { self.text = text }

    package static func == (left: ExactKey, right: ExactKey) -> Bool { left.text.hasSameBytes(as: right.text) }

    // Equal bytes are canonically equal, so the string's own hash serves.
    package func hash(into hasher: inout Hasher) { self.text.hash(into: &hasher) }
}
