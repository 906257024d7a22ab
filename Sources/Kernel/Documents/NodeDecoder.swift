import Bytes
package import JSON

/// Reads a node into values and collects everything that is wrong with it.
///
/// Readers return nil after they noted a problem; go on reading, so that all problems come at once, and let `decode` throw
/// them together. Messages never repeat a string from the document except names (keys, choices): it may be a secret.
package struct NodeDecoder {
    package let node: Node
    private let place: Place
    private let problems: ProblemList

    /// How one gets to a node; turned into a pointer only when there is a problem.
    private indirect enum Place {
        case root
        case key(Place, String)
        case index(Place, Int)

        var pointer: JSONPointer {
            switch self {
            case .root: return .root
            case .key(let parent, let key): return parent.pointer.appending(key)
            case .index(let parent, let index): return parent.pointer.appending(index)
            }
        }
    }

    /// Starts at the root of a document.
    package init(_ node: Node, problems: ProblemList) {
        self.init(node, .root, problems)
    }

    /// Starts at a node that stands at `pointer`.
    package init(_ node: Node, at pointer: JSONPointer, problems: ProblemList) {
        var place: Place = .root
        for token: String in pointer.tokens { place = .key(place, token) }
        self.init(node, place, problems)
    }

    func at(_ key: String, _ node: Node) -> NodeDecoder { NodeDecoder(node, .key(self.place, key), self.problems) }

    func at(_ index: Int, _ node: Node) -> NodeDecoder { NodeDecoder(node, .index(self.place, index), self.problems) }

    private init(_ node: Node, _ place: Place, _ problems: ProblemList) {
        self.node = node
        self.place = place
        self.problems = problems
    }

    /// What `body` makes of the document, or all problems.
    package static func decode<Value>(
        _ root: Node, _ body: (NodeDecoder) -> Value?
    ) throws(InvalidDocument) -> Value {
        let problems: ProblemList = ProblemList()
        let decoder: NodeDecoder = NodeDecoder(root, problems: problems)
        let value: Value? = body(decoder)
        try problems.check()
        guard let value: Value else {
            preconditionFailure("a reader that returns nothing says why")
        }
        return value
    }

    // MARK: Problems

    package var pointer: JSONPointer { self.place.pointer }

    /// Notes a problem at this node. Costs nothing much once the list is full.
    package func problem(_ message: @autoclosure () -> String) {
        guard !self.problems.isFull else { return self.problems.omit() }
        self.problems.add(Problem(pointer: self.pointer.text, at: self.node.position, message()))
    }

    /// Notes "expected …, found …" with the kind of value that is here.
    package func expected(_ wanted: @autoclosure () -> String) {
        self.problem("expected \(wanted()), found \(self.node.kindName)")
    }

    // MARK: Containers

    /// The fields of a mapping that has no others than `known`. Notes each unknown one, with the name probably meant.
    package func fields(_ known: [String]) -> NodeFields? {
        guard case .mapping(let members) = self.node.kind else {
            self.expected("a mapping")
            return nil
        }
        for member: Node.Member in members {
            let name: String = member.key.text ?? ""
            if !known.contains(name) { self.unknown(name, at: member.key.position, known: known) }
        }
        return NodeFields(self, known: known)
    }

    /// Notes that a mapping has no field `name`, and which one was probably meant.
    package func unknown(_ name: String, at position: SourcePosition, known: [String]) {
        guard !self.problems.isFull else { return self.problems.omit() }
        var message: String = "unknown field \(Quoted.text(name))"
        if let meant: String = NearestName.suggestion(for: name, among: known) {
            message += ", did you mean \(Quoted.text(meant))?"
        } else {
            message += ", expected one of \(known.joined(separator: ", "))"
        }
        self.problems.add(Problem(pointer: self.pointer.appending(name).text, at: position, message))
    }

    /// The elements of a list, read one by one; those with a problem are left out.
    package func list<Value>(
        count: ClosedRange<Int> = 0...Int.max, _ element: (NodeDecoder) -> Value?
    ) -> [Value]? {
        guard case .sequence(let nodes) = self.node.kind else {
            self.expected("a list")
            return nil
        }
        if !count.contains(nodes.count) {
            self.problem("expected \(Self.text(count, unit: "elements")), found \(nodes.count)")
        }
        var values: [Value] = []
        for (index, node) in nodes.enumerated() {
            if let value: Value = element(NodeDecoder(node, .index(self.place, index), self.problems)) {
                values.append(value)
            }
        }
        return values
    }

    /// The members of a mapping whose keys are names of the user's, in order; those with a problem are left out.
    package func dictionary<Value>(
        _ value: (_ key: String, NodeDecoder) -> Value?
    ) -> [(key: String, value: Value)]? {
        guard case .mapping(let members) = self.node.kind else {
            self.expected("a mapping")
            return nil
        }
        var pairs: [(key: String, value: Value)] = []
        for member: Node.Member in members {
            let key: String = member.key.text ?? ""
            if let read: Value = value(key, self.at(key, member.value)) {
                pairs.append((key: key, value: read))
            }
        }
        return pairs
    }

    /// The member `key`, wherever it comes from.
    func child(_ key: String) -> NodeDecoder? {
        guard let value: Node = self.node[key], !value.isNull else { return nil }
        return self.at(key, value)
    }

    /// Notes that `key` is missing, at this mapping.
    package func missing(_ key: String) {
        if let member: Node.Member = self.node.member(key) {
            let pointer: String = self.pointer.appending(key).text
            self.problems.add(Problem(pointer: pointer, at: member.key.position, "expected a value, found nothing"))
        } else {
            self.problem("expected a field \(Quoted.text(key))")
        }
    }

    // MARK: Scalars

    /// A string of `length` UTF-8 bytes.
    package func string(length: ClosedRange<Int> = 0...Int.max) -> String? {
        guard case .string(let text) = self.node.kind else {
            self.expectedString()
            return nil
        }
        guard length.contains(text.utf8.count) else {
            self.problem("expected a string of \(Self.text(length, unit: "bytes")), found \(text.utf8.count)")
            return nil
        }
        return text
    }

    private func expectedString() {
        switch self.node.kind {
        case .bool, .int, .double: self.problem("expected a string, found \(self.node.kindName) (put it in quotes)")
        default: self.expected("a string")
        }
    }

    /// A string that `check` has no objection to (it returns what was expected, "a slug of lower-case letters …", or nil).
    package func string(_ check: (String) -> String?) -> String? {
        guard let text: String = self.string() else { return nil }
        if let wanted: String = check(text) {
            self.problem("expected \(wanted)")
            return nil
        }
        return text
    }

    /// What `convert` makes of a string; `wanted` says what it takes ("an address such as 127.0.0.1:8000").
    package func parsed<Value>(_ wanted: String, _ convert: (String) -> Value?) -> Value? {
        guard case .string(let text) = self.node.kind, let value: Value = convert(text) else {
            self.problem("expected \(wanted)" + (self.node.text == nil ? ", found \(self.node.kindName)" : ""))
            return nil
        }
        return value
    }

    package func boolean() -> Bool? {
        if case .bool(let value) = self.node.kind { return value }
        // YAML 1.1's words, which 1.2 reads as strings.
        if case .string(let text) = self.node.kind, ["yes", "no", "on", "off"].contains(text.lowercased()) {
            self.problem("expected true or false, found \(Quoted.text(text))")
        } else {
            self.expected("true or false")
        }
        return nil
    }

    package func integer(in range: ClosedRange<Int> = Int.min...Int.max) -> Int? {
        let wanted: String = "an integer" + Self.suffix(range)
        guard case .int(let value) = self.node.kind else {
            self.expected(wanted)
            return nil
        }
        guard range.contains(Int(value)) else {
            self.problem("expected \(wanted), found \(value)")
            return nil
        }
        return Int(value)
    }

    package func number(in range: ClosedRange<Double>) -> Double? {
        let wanted: String =
            "a number from \(JSONValue.double(range.lowerBound)) to \(JSONValue.double(range.upperBound))"
        guard let value: Double = self.node.json().number else {
            self.expected(wanted)
            return nil
        }
        guard range.contains(value) else {
            self.problem("expected \(wanted), found \(JSONValue.double(value))")
            return nil
        }
        return value
    }

    /// One of a few names.
    package func choice<Value>(_ options: KeyValuePairs<String, Value>) -> Value? {
        guard case .string(let text) = self.node.kind else {
            self.expected("one of \(options.map(\.key).joined(separator: ", "))")
            return nil
        }
        for (name, value) in options where name == text { return value }
        let names: [String] = options.map(\.key)
        var message: String = "expected one of \(names.joined(separator: ", ")), found \(Quoted.text(text))"
        if let meant: String = NearestName.suggestion(for: text, among: names) {
            message += ", did you mean \(Quoted.text(meant))?"
        }
        self.problem(message)
        return nil
    }

    /// A span of time: a whole number and a unit (`250ms`, `30s`, `5m`, `2h`, `7d`).
    package func duration(in range: ClosedRange<Duration>) -> Duration? {
        let wanted: String =
            "a duration from \(DurationText.text(range.lowerBound)) to \(DurationText.text(range.upperBound))"
        guard case .string(let text) = self.node.kind, let value: Duration = DurationText.parse(text) else {
            self.problem("expected \(wanted), such as 250ms, 30s, 5m, 2h or 7d")
            return nil
        }
        guard range.contains(value) else {
            self.problem("expected \(wanted), found \(DurationText.text(value))")
            return nil
        }
        return value
    }

    /// A size in bytes: a whole number, alone or with `B`, `KiB`, `MiB` or `GiB`.
    package func byteCount(in range: ClosedRange<Int>) -> Int? {
        let wanted: String =
            "a size from \(ByteCountText.text(range.lowerBound)) to \(ByteCountText.text(range.upperBound))"
        let value: Int?
        switch self.node.kind {
        case .int(let number): value = Int(number)
        case .string(let text): value = ByteCountText.parse(text)
        default: value = nil
        }
        guard let value: Int else {
            self.problem("expected \(wanted), such as 65536, 64KiB or 10MiB")
            return nil
        }
        guard range.contains(value) else {
            self.problem("expected \(wanted), found \(ByteCountText.text(value))")
            return nil
        }
        return value
    }

    // MARK: Words

    private static func text(_ range: ClosedRange<Int>, unit: String) -> String {
        if range.upperBound == Int.max { return "at least \(range.lowerBound) \(unit)" }
        if range.lowerBound == range.upperBound { return "exactly \(range.lowerBound) \(unit)" }
        if range.lowerBound == 0 { return "at most \(range.upperBound) \(unit)" }
        return "\(range.lowerBound) to \(range.upperBound) \(unit)"
    }

    private static func suffix(_ range: ClosedRange<Int>) -> String {
        switch (range.lowerBound == Int.min, range.upperBound == Int.max) {
        case (true, true): return ""
        case (true, false): return " of at most \(range.upperBound)"
        case (false, true): return " of at least \(range.lowerBound)"
        case (false, false): return " from \(range.lowerBound) to \(range.upperBound)"
        }
    }
}
