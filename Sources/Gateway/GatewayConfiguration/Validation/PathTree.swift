/// Finds the operation of a path by its method: the paths of an OpenAPI document as a tree of their segments.
struct PathTree: Sendable {
    private struct Node: Sendable {
        var literals: [String: Int] = [:]
        var parameter: Int?
        /// In order of the document.
        var patterns: [(pattern: SegmentPattern, next: Int)] = []
        /// Places of operations by method.
        var operations: [String: Int] = [:]
    }

    /// The root is the first.
    private var nodes: [Node] = [Node()]

    /// Of two operations with one method and shape the first counts.
    init(_ operations: [(method: String, segments: [PathPattern.Segment])]) {
        for (number, operation) in operations.enumerated() {
            var node: Int = 0
            for segment in operation.segments { node = self.step(segment, from: node) }
            if self.nodes[node].operations[operation.method] == nil {
                self.nodes[node].operations[operation.method] = number
            }
        }
    }

    private mutating func step(_ segment: PathPattern.Segment, from node: Int) -> Int {
        let next: Int = self.nodes.count
        switch segment {
        case .literal(let text):
            if let known: Int = self.nodes[node].literals[text] { return known }
            self.nodes[node].literals[text] = next
        case .parameter:
            if let known: Int = self.nodes[node].parameter { return known }
            self.nodes[node].parameter = next
        case .pattern(let pattern):
            for known in self.nodes[node].patterns where known.pattern.shape == pattern.shape { return known.next }
            self.nodes[node].patterns.append((pattern, next))
        }
        self.nodes.append(Node())
        return next
    }

    /// The place of the operation of a path in normal form: literal segments go before those with text beside parameters, and these
    /// before parameters. `HEAD` is answered as `GET` where the document does not say.
    func operation(_ method: String, path: String) -> Int? {
        let segments: [Substring] = path.dropFirst().split(separator: "/", omittingEmptySubsequences: false)
        return self.find(method, segments[...], node: 0)
    }

    /// Few ways at each segment, and as many segments as the deepest path of the document has.
    private func find(_ method: String, _ segments: ArraySlice<Substring>, node: Int) -> Int? {
        let node: Node = self.nodes[node]
        guard let segment: Substring = segments.first else {
            return node.operations[method] ?? (method == "HEAD" ? node.operations["GET"] : nil)
        }
        if let next: Int = node.literals[String(segment)],
            let found: Int = self.find(method, segments.dropFirst(), node: next)
        {
            return found
        }
        for (pattern, next) in node.patterns where (try? pattern.matches(Array(segment.utf8))) == true {
            if let found: Int = self.find(method, segments.dropFirst(), node: next) { return found }
        }
        guard let next: Int = node.parameter, !segment.isEmpty else { return nil }
        return self.find(method, segments.dropFirst(), node: next)
    }
}
