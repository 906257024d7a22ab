/// For readers that walk a document by its own structure instead of asking for fields.
extension NodeDecoder {
    package typealias MemberDecoder = (key: String, position: SourcePosition, value: NodeDecoder)

    /// The members of a mapping with the positions of their keys; none for other kinds.
    package var members: [MemberDecoder] {
        guard case .mapping(let members) = self.node.kind else { return [] }
        var decoders: [MemberDecoder] = []
        decoders.reserveCapacity(members.count)
        for member: Node.Member in members {
            let key: String = member.key.text ?? ""
            decoders.append((key: key, position: member.key.position, value: self.at(key, member.value)))
        }
        return decoders
    }

    /// The elements of a list; none for other kinds.
    package var elements: [NodeDecoder] {
        guard case .sequence(let nodes) = self.node.kind else { return [] }
        var decoders: [NodeDecoder] = []
        decoders.reserveCapacity(nodes.count)
        for (index, node) in nodes.enumerated() { decoders.append(self.at(index, node)) }
        return decoders
    }

    /// The value of `key`, null or not, or nil when it is absent.
    package subscript(key: String) -> NodeDecoder? { self.node[key].map { self.at(key, $0) } }

    /// Notes a problem with the member `key`, where the key stands.
    package func problem(_ message: @autoclosure () -> String, with key: String) {
        guard let member: Node.Member = self.node.member(key) else { return self.problem(message()) }
        self.at(key, Node(.null, at: member.key.position)).problem(message())
    }
}
