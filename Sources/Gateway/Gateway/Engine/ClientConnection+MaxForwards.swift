import HTTP

/// `Max-Forwards` of OPTIONS and TRACE (RFC 9110, 7.6.2): each that passes such a request on takes one off, and who gets it with
/// none left answers. With other methods the field is passed on as it came.
extension ClientConnection {
    static let maxForwardsName: [[UInt8]] = [Array("max-forwards".utf8)]
    /// Larger numbers are as good as this one.
    private static let forwardsMax: Int32 = 100_000

    /// Keeps the number; a field that says none is passed on as it came.
    func readMaxForwards(_ bytes: UnsafeRawPointer) {
        let loop: GatewayLoop = self.loop
        for index in 0..<loop.requestHead.fieldCount {
            let field: HTTPField = loop.requestTable.fields[index]
            guard HeadComposer.isNamed(field, bytes, by: Self.maxForwardsName), field.valueCount > 0 else { continue }
            var number: Int32 = 0
            for offset in 0..<Int(field.valueCount) {
                let byte: UInt8 = bytes.load(fromByteOffset: Int(field.valueStart) + offset, as: UInt8.self)
                guard byte >= 0x30, byte <= 0x39 else { return }
                number = min(Self.forwardsMax, number * 10 + Int32(byte - 0x30))
            }
            self.exchange.forwardsLeft = number
            return
        }
    }

    /// Answers a request that may not be passed on: OPTIONS with the path's methods. TRACE would show its sender's fields to
    /// whoever reads the answer, and is refused.
    func answerAsLast(_ view: RequestView, _ snapshot: Snapshot) {
        if view.method == .trace {
            self.answer(.methodNotAllowed, allow: MethodSet.all.subtracting(MethodSet(.trace)).allowText)
            return
        }
        var asked: RequestView = view
        // A method that only routes for every method take.
        asked.method = .other
        switch snapshot.match(asked) {
        case .route: self.answer(.optionsAnswered, allow: MethodSet.all.allowText)
        case .methodNotAllowed(let allow), .options(let allow): self.answer(.optionsAnswered, allow: allow)
        case .undecided: self.answer(.expressionLimit)
        case .none: self.answer(.noRoute)
        }
    }

    /// What the next one gets.
    func composeMaxForwards() {
        guard self.exchange.forwardsLeft > 0 else { return }
        self.loop.out.append("Max-Forwards: ")
        self.loop.out.append(decimal: Int(self.exchange.forwardsLeft) - 1)
        self.loop.out.append("\r\n")
    }
}
