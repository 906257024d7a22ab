import EventLoops
import HTTP

/// The way of an upstream's response on a route with response stages.
extension ClientConnection {
    /// Whether the response to this exchange has to be taken apart.
    var filtersResponse: Bool {
        guard let context: PolicyContext = self.context, let pipeline: RoutePipeline = context.pipeline else {
            return false
        }
        return !pipeline.responseStages.isEmpty || !context.answerFields.isEmpty
    }

    /// Takes the head of the upstream's response, which the loop has just read, into the context. Returns the answer a stage
    /// gives instead, if one does.
    func takeHead(_ bytes: UnsafeRawPointer) -> LocalAnswer? {
        guard let context: PolicyContext = self.context, let pipeline: RoutePipeline = context.pipeline else {
            return nil
        }
        let loop: GatewayLoop = self.loop
        context.chain.reset()
        context.time = DecisionTime(monotonic: loop.events.now, wallSeconds: loop.events.wallNow / 1_000_000_000)
        let head: ResponseHead = context.chain.head
        head.status = loop.responseHead.status
        let phrase: Range<Int> = loop.responseHead.reason
        head.phrase = [UInt8](UnsafeRawBufferPointer(start: bytes + phrase.lowerBound, count: phrase.count))
        head.isBodyless = self.exchange.method == .head || head.status == 204 || head.status == 304
        self.takeFields(bytes, into: head)
        for stage in pipeline.responseStages {
            if let local: LocalAnswer = stage.replacement(for: head, context) { return local }
        }
        return nil
    }

    private func takeFields(_ bytes: UnsafeRawPointer, into head: ResponseHead) {
        let loop: GatewayLoop = self.loop
        let table: HTTPFieldTable = loop.responseTable
        let count: Int = loop.responseHead.fieldCount
        let namesOthers: Bool = loop.responseHead.flags.contains(.namesOthers)
        let changes: Unmanaged<CompiledHeaderChanges>? = self.exchange.responseHeaders
        for index in 0..<count {
            let field: HTTPField = table.fields[index]
            let value: UnsafeRawBufferPointer = UnsafeRawBufferPointer(
                start: bytes + Int(field.valueStart), count: Int(field.valueCount))
            if field.known == .contentLength {
                head.declaredLength = UInt64(String(decoding: value, as: UTF8.self))
                continue
            }
            if field.known.isHopByHop { continue }
            if namesOthers, HeadComposer.isNamedByConnection(field, bytes, table: table, count: count) { continue }
            if let changes: Unmanaged<CompiledHeaderChanges> = changes,
                changes._withUnsafeGuaranteedRef({ HeadComposer.isChanged(field, bytes, by: $0) })
            {
                continue
            }
            head.fields.add(
                UnsafeRawBufferPointer(start: bytes + Int(field.nameStart), count: Int(field.nameCount)), value)
        }
        if let changes: Unmanaged<CompiledHeaderChanges> = changes {
            changes._withUnsafeGuaranteedRef { head.fields.addLines($0.lines) }
        }
    }

    /// Sends the head through the filters, and out when none of them holds it. False when the response failed.
    func beginFiltering(_ framing: HTTPFraming) -> Bool {
        guard let context: PolicyContext = self.context, let pipeline: RoutePipeline = context.pipeline else {
            return false
        }
        context.chain.begin(pipeline.responseStages, from: .validation, context, isWhole: false)
        return self.sendFilteredHead(context, framing)
    }

    private func sendFilteredHead(_ context: PolicyContext, _ framing: HTTPFraming) -> Bool {
        let chain: ResponseChain = context.chain
        guard chain.isHeadReady, !chain.isHeadSent else { return true }
        if chain.head.isBodyless {
            chain.framing = .none
        } else if !chain.transforms, case .length = framing {
            chain.framing = .length
        } else if !chain.transforms, framing == .none {
            chain.framing = .none
        } else {
            chain.framing = self.exchange.minorVersion == 1 ? .chunked : .untilClose
        }
        return self.composeFilteredHead(context)
    }

    private func composeFilteredHead(_ context: PolicyContext) -> Bool {
        let loop: GatewayLoop = self.loop
        let chain: ResponseChain = context.chain
        let head: ResponseHead = chain.head
        if chain.framing == .untilClose { self.exchange.keepsAlive = false }
        self.exchange.status = head.status
        self.composeStatus(head)
        self.composeFieldLines(head.fields, context.answerFields)
        switch chain.framing {
        case .chunked: loop.out.append("Transfer-Encoding: chunked\r\n")
        case .none, .length:
            // To HEAD and with 304 it says what a body would have.
            if !chain.transforms, head.status != 204, let length: UInt64 = head.declaredLength {
                loop.out.append("Content-Length: ")
                loop.out.append(decimal: Int(clamping: length))
                loop.out.append("\r\n")
            }
        case .untilClose: break
        }
        if self.exchange.isSteered { self.composeVersionCookie() }
        self.composeConnection()
        loop.out.append("\r\n")
        chain.isHeadSent = true
        return !loop.out.overflowed
    }

    /// Sends a piece of the decoded body through the filters. False when the exchange has ended with it.
    func filterBody(_ bytes: UnsafeRawPointer, _ count: Int, _ framing: HTTPFraming) -> Bool {
        guard let context: PolicyContext = self.context else { return false }
        context.chain.feed(UnsafeRawBufferPointer(start: bytes, count: count), context) {
            (piece: UnsafeRawBufferPointer) in
            // A filter that let the head go in this call gives its bytes behind it.
            if !context.chain.isHeadSent { _ = self.sendFilteredHead(context, framing) }
            self.putFramed(context, piece)
        }
        if self.phase == .closed { return false }
        if context.chain.failure != .none { return self.failFiltering(context.chain.failure) }
        if context.chain.isHeadReady, !context.chain.isHeadSent { return self.sendFilteredHead(context, framing) }
        return true
    }

    /// The upstream's body is complete. False when the exchange has ended with it.
    func endFiltering() -> Bool {
        guard let context: PolicyContext = self.context else { return false }
        let chain: ResponseChain = context.chain
        chain.finish(context) { self.putFramed(context, $0) }
        if self.phase == .closed { return false }
        if chain.failure != .none { return self.failFiltering(chain.failure) }
        if !chain.isHeadSent {
            // Held to the end: now the length is known.
            chain.framing = chain.head.isBodyless ? .none : .length
            chain.head.declaredLength = chain.head.isBodyless ? chain.head.declaredLength : UInt64(chain.gathered.count)
            return self.composeGathered(context)
        }
        if chain.framing == .chunked {
            let loop: GatewayLoop = self.loop
            self.putText(context, "0\r\n")
            if chain.trailers.isEmpty {
                self.putText(context, "\r\n")
            } else {
                chain.trailers.withUnsafeBytes { self.put(context, $0) }
            }
            if self.pending == nil, loop.out.overflowed { return false }
        }
        return self.phase != .closed
    }

    private func composeGathered(_ context: PolicyContext) -> Bool {
        let loop: GatewayLoop = self.loop
        let chain: ResponseChain = context.chain
        let head: ResponseHead = chain.head
        self.exchange.status = head.status
        self.composeStatus(head)
        self.composeFieldLines(head.fields, context.answerFields)
        if chain.framing == .length {
            loop.out.append("Content-Length: ")
            loop.out.append(decimal: chain.gathered.count)
            loop.out.append("\r\n")
        }
        if self.exchange.isSteered { self.composeVersionCookie() }
        self.composeConnection()
        loop.out.append("\r\n")
        chain.isHeadSent = true
        if loop.out.overflowed { return false }
        if chain.framing == .length { chain.gathered.withUnsafeBytes { self.put(context, $0) } }
        return self.phase != .closed
    }

    private func putFramed(_ context: PolicyContext, _ bytes: UnsafeRawBufferPointer) {
        switch context.chain.framing {
        case .none: return
        case .length, .untilClose: self.put(context, bytes)
        case .chunked:
            let loop: GatewayLoop = self.loop
            loop.trailers.clear()
            loop.trailers.append(hexadecimal: bytes.count)
            loop.trailers.append("\r\n")
            self.put(context, UnsafeRawBufferPointer(start: loop.trailers.base, count: loop.trailers.count))
            self.put(context, bytes)
            self.putText(context, "\r\n")
        }
    }

    private func putText(_ context: PolicyContext, _ text: StaticString) {
        self.put(context, UnsafeRawBufferPointer(start: text.utf8Start, count: text.utf8CodeUnitCount))
    }

    /// A filter refused the response.
    private func failFiltering(_ reason: RequestReason) -> Bool {
        self.dropUpstream()
        if self.exchange.responseStarted {
            self.abort(reason)
        } else {
            self.loop.out.clear()
            self.answer(reason)
            self.resumeInput()
        }
        return false
    }

    /// Trailers of the upstream, with the empty line that ends them; only a response in chunks has a place for them.
    func keepTrailers(_ bytes: UnsafeRawPointer, _ fieldCount: Int) {
        guard let context: PolicyContext = self.context else { return }
        let loop: GatewayLoop = self.loop
        loop.trailers.clear()
        HeadComposer.appendTrailers(bytes, table: loop.responseTable, count: fieldCount, into: &loop.trailers)
        context.chain.trailers = [UInt8](UnsafeRawBufferPointer(start: loop.trailers.base, count: loop.trailers.count))
    }
}
