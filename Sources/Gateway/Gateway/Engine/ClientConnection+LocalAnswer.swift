import EventLoops
import HTTP

/// Answers the gateway gives itself on routes with a pipeline, and answers that do not fit into the kernel at once.
extension ClientConnection {
    /// Gives a stage's own answer, through the stages of the response that it has not had.
    func answer(_ local: LocalAnswer) {
        guard let context: PolicyContext = self.context, let pipeline: RoutePipeline = context.pipeline else {
            self.answer(.internalError)
            return
        }
        let loop: GatewayLoop = self.loop
        loop.events.disarm(self.timer)
        let chain: ResponseChain = context.chain
        chain.reset()
        chain.head.status = local.status
        chain.head.fields = local.fields
        chain.head.isFromUpstream = false
        chain.head.isBodyless = self.exchange.method == .head || local.status == 204 || local.status == 304
        chain.head.declaredLength = UInt64(local.bodyCount)
        chain.begin(pipeline.responseStages, from: local.enters, context, isWhole: true)
        var body: [[UInt8]] = local.body
        if chain.hasFilters {
            if !chain.head.isBodyless {
                for piece in local.body { piece.withUnsafeBytes { chain.feed($0, context) { _ in } } }
            }
            chain.finish(context) { _ in }
            if chain.failure != .none {
                self.answer(chain.failure)
                return
            }
            if chain.transforms { body = [chain.gathered] }
        }
        self.exchange.reason = local.reason
        self.exchange.status = chain.head.status
        self.exchange.responseComposed = true
        let keeps: Bool = self.survivesAnswer(local.reason)
        self.exchange.keepsAlive = keeps
        self.phase = .answering
        self.composeLocal(context, body)
        if !chain.head.isBodyless {
            for piece in body { context.queue.append(piece) }
        }
        self.feedBacklog(context)
        self.finishAnswer(keeps: keeps)
    }

    /// What a stage answers instead of a problem document, once.
    func fallbackAnswer(_ context: PolicyContext, _ reason: RequestReason) -> LocalAnswer? {
        guard let fallback: AnswerFallback = context.fallback else { return nil }
        let events: EventLoop = self.loop.events
        context.time = DecisionTime(monotonic: events.now, wallSeconds: events.wallNow / 1_000_000_000)
        context.fallback = nil
        return fallback.answer(for: reason)
    }

    private func composeLocal(_ context: PolicyContext, _ body: [[UInt8]]) {
        let loop: GatewayLoop = self.loop
        let head: ResponseHead = context.chain.head
        var count: Int = 0
        for piece in body { count += piece.count }
        loop.out.clear()
        self.composeStatus(head)
        if !head.fields.has("date") {
            loop.out.append("Date: ")
            loop.out.append(loop.events.httpDate())
            loop.out.append("\r\n")
        }
        self.composeFieldLines(head.fields, context.answerFields)
        // What a filter would make of a body that HEAD does not ask for is not known.
        let isLengthKnown: Bool = !(head.isBodyless && context.chain.transforms)
        if head.status != 204, head.status != 304, isLengthKnown {
            loop.out.append("Content-Length: ")
            loop.out.append(decimal: count)
            loop.out.append("\r\n")
        }
        self.composeConnection()
        loop.out.append("\r\n")
    }

    func composeStatus(_ head: ResponseHead) {
        let loop: GatewayLoop = self.loop
        loop.out.append("HTTP/1.1 ")
        loop.out.append(decimal: head.status)
        loop.out.append(" ")
        if let phrase: [UInt8] = head.phrase {
            loop.out.append(phrase)
        } else {
            loop.out.append(StatusText.reason(head.status))
        }
        loop.out.append("\r\n")
    }

    /// Writes the head's fields, without those that `others` give anew, then the others.
    func composeFieldLines(_ fields: FieldLines, _ others: FieldLines) {
        let loop: GatewayLoop = self.loop
        if others.isEmpty {
            loop.out.append(fields.bytes)
            return
        }
        fields.bytes.withUnsafeBytes { (raw: UnsafeRawBufferPointer) in
            for (index, line) in fields.lines.enumerated() {
                // Vary grows; every other field that answers carry replaces what was there.
                let name: String = fields.nameText(at: index)
                if others.has(name), name.lowercased() != "vary" { continue }
                loop.out.append(UnsafeRawBufferPointer(rebasing: raw[line.start..<line.end]))
            }
        }
        loop.out.append(others.bytes)
    }

    func composeConnection() {
        let loop: GatewayLoop = self.loop
        if !self.exchange.keepsAlive {
            loop.out.append("Connection: close\r\n")
        } else if self.exchange.minorVersion == 0 {
            loop.out.append("Connection: keep-alive\r\n")
        }
    }

    // MARK: More than the kernel takes

    /// Bytes of a queued piece that are given at once.
    private static let backlogPieceBytes: Int = 32 * 1024

    /// Adds bytes of the response; what the client does not take now waits in the context.
    func put(_ context: PolicyContext, _ bytes: UnsafeRawBufferPointer) {
        guard let base: UnsafeRawPointer = bytes.baseAddress else { return }
        var position: Int = 0
        while position < bytes.count {
            if self.phase == .closed { return }
            if self.pending != nil || !context.queue.isEmpty {
                context.queue.append([UInt8](UnsafeRawBufferPointer(rebasing: bytes[position...])))
                return
            }
            let count: Int = min(ClientConnection.backlogPieceBytes, bytes.count - position)
            self.emit(base + position, count)
            position += count
        }
    }

    /// Sends queued pieces as far as they are taken, and what is in the scratch.
    func feedBacklog(_ context: PolicyContext) {
        while self.pending == nil, !context.queue.isEmpty, self.phase != .closed {
            context.queue.take(ClientConnection.backlogPieceBytes) { self.emit($0, $1) }
        }
        if self.phase != .closed { self.sendScratch() }
        // The scratch may have been the part that was not taken.
        if self.pending == nil, !context.queue.isEmpty, self.phase != .closed { self.feedBacklog(context) }
    }
}
