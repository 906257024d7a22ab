import GatewayConfiguration
import HTTP
import Identifiers

extension ClientConnection {
    /// Writes the request head for a target into the loop's scratch, and marks the parts that differ between targets.
    func compose(
        _ bytes: UnsafeRawPointer, _ view: RequestView, _ route: CompiledRoute, _ pool: TargetPool, preservesHost: Bool
    ) {
        let loop: GatewayLoop = self.loop
        loop.out.clear()
        loop.out.append(bytes + loop.requestHead.start, loop.requestHead.methodCount + 1)
        self.exchange.marks.baseStart = UInt16(truncatingIfNeeded: loop.out.count)
        loop.out.append(pool.basePath)
        self.exchange.marks.pathStart = UInt16(truncatingIfNeeded: loop.out.count)
        self.composeTarget(view)
        loop.out.append(" HTTP/1.1\r\n")
        self.exchange.marks.lineEnd = UInt16(truncatingIfNeeded: loop.out.count)
        // A client of HTTP/1.0 may have named no host.
        let keepsHost: Bool = preservesHost && view.host.count > 0
        if !keepsHost { loop.out.append(pool.hostLine) }
        self.exchange.marks.hostEnd = UInt16(truncatingIfNeeded: loop.out.count)
        self.composeFields(bytes, route.requestHeaders, keepsHost: keepsHost)
        self.composeMaxForwards()
        if let changes: CompiledHeaderChanges = route.requestHeaders { loop.out.append(changes.lines) }
        if loop.isTracing { self.composeTrace(bytes) }
        self.composeFraming()
        loop.out.append("\r\n")
    }

    /// What this hop says of the body and of the connection.
    func composeFraming() {
        if self.exchange.body.kind == .chunked { self.loop.out.append("Transfer-Encoding: chunked\r\n") }
        if self.exchange.isUpgrade { self.loop.out.append("Connection: Upgrade\r\nUpgrade: websocket\r\n") }
    }

    /// The same for a request that stages may have changed, from the head that the context keeps.
    func composeEdited(_ context: PolicyContext, _ route: CompiledRoute, _ pool: TargetPool, preservesHost: Bool) {
        let loop: GatewayLoop = self.loop
        let bytes: UnsafeRawPointer = UnsafeRawPointer(context.base)
        let view: RequestView = context.request
        loop.out.clear()
        loop.out.append(bytes + loop.requestHead.start, loop.requestHead.methodCount + 1)
        self.exchange.marks.baseStart = UInt16(truncatingIfNeeded: loop.out.count)
        loop.out.append(pool.basePath)
        self.exchange.marks.pathStart = UInt16(truncatingIfNeeded: loop.out.count)
        self.composeEditedTarget(view, context.edits)
        loop.out.append(" HTTP/1.1\r\n")
        self.exchange.marks.lineEnd = UInt16(truncatingIfNeeded: loop.out.count)
        let keepsHost: Bool = preservesHost && view.host.count > 0
        if !keepsHost { loop.out.append(pool.hostLine) }
        self.exchange.marks.hostEnd = UInt16(truncatingIfNeeded: loop.out.count)
        let hasOwnBody: Bool = context.edits.body != nil || context.body != nil
        self.composeFields(bytes, route.requestHeaders, keepsHost: keepsHost, context.edits, hasOwnBody: hasOwnBody)
        self.composeMaxForwards()
        if let changes: CompiledHeaderChanges = route.requestHeaders { loop.out.append(changes.lines) }
        loop.out.append(context.edits.addedLines)
        if loop.isTracing { self.composeTrace(bytes) }
        if hasOwnBody {
            // A request that had no body, and has none now, says nothing about one.
            if !context.outgoing.isEmpty || context.head.framing != .none
                || context.head.flags.contains(.hasContentLength)
            {
                loop.out.append("Content-Length: ")
                loop.out.append(decimal: context.outgoing.count)
                loop.out.append("\r\n")
            }
        } else {
            self.composeFraming()
        }
        loop.out.append("\r\n")
    }

    private func composeEditedTarget(_ view: RequestView, _ edits: RequestEdits) {
        if edits.path == nil, edits.query == nil {
            self.composeTarget(view)
            return
        }
        let loop: GatewayLoop = self.loop
        if let path: [UInt8] = edits.path {
            loop.out.append(path.isEmpty ? [0x2F] : path)
        } else {
            self.composePath(view)
        }
        guard let query: [UInt8] = edits.query else {
            self.composeQuery(view)
            return
        }
        if query.isEmpty { return }
        loop.out.append("?")
        loop.out.append(query)
    }

    /// Path and query, without what was taken off.
    private func composeTarget(_ view: RequestView) {
        self.composePath(view)
        self.composeQuery(view)
    }

    private func composePath(_ view: RequestView) {
        let loop: GatewayLoop = self.loop
        let stripped: Int = Int(self.exchange.forwarding.strippedPathLength)
        if stripped < view.path.count, let path: UnsafeRawPointer = view.path.baseAddress {
            loop.out.append(path + stripped, view.path.count - stripped)
        } else {
            loop.out.append("/")
        }
    }

    private func composeQuery(_ view: RequestView) {
        let loop: GatewayLoop = self.loop
        guard view.query.count > 0, let query: UnsafeRawPointer = view.query.baseAddress else { return }
        let cutStart: Int = Int(self.exchange.forwarding.strippedQueryOffset)
        let cutEnd: Int = cutStart + Int(self.exchange.forwarding.strippedQueryLength)
        if cutEnd - cutStart >= view.query.count { return }
        loop.out.append("?")
        if cutEnd == cutStart {
            loop.out.append(query, view.query.count)
        } else {
            loop.out.append(query, cutStart)
            loop.out.append(query + cutEnd, view.query.count - cutEnd)
        }
    }

    private func composeFields(_ bytes: UnsafeRawPointer, _ changes: CompiledHeaderChanges?, keepsHost: Bool) {
        let loop: GatewayLoop = self.loop
        let flags: HTTPHeadFlags = loop.requestHead.flags
        let table: HTTPFieldTable = loop.requestTable
        let count: Int = loop.requestHead.fieldCount
        let stripped: Int = Int(self.exchange.forwarding.strippedField)
        let namesOthers: Bool = flags.contains(.namesOthers)
        let keepsTrailerField: Bool = self.exchange.body.kind == .chunked
        let replacesTrace: Bool = loop.isTracing
        let countsForwards: Bool = self.exchange.forwardsLeft > 0
        HeadComposer.copyFields(
            bytes, from: loop.requestHead.fieldsStart, to: loop.requestHead.count - 2, table: table, count: count,
            into: &loop.out
        ) { (field: HTTPField, index: Int) -> Bool in
            if index == stripped { return true }
            switch field.known {
            case .other:
                if countsForwards, HeadComposer.isNamed(field, bytes, by: Self.maxForwardsName) { return true }
            case .host: return !keepsHost
            case .trailer: return !keepsTrailerField
            case .traceparent where replacesTrace: return true
            default: if field.known.isHopByHop { return true }
            }
            if namesOthers, HeadComposer.isNamedByConnection(field, bytes, table: table, count: count) { return true }
            guard let changes: CompiledHeaderChanges = changes else { return false }
            return HeadComposer.isChanged(field, bytes, by: changes)
        }
    }

    /// The fields of a request that stages may have changed.
    private func composeFields(
        _ bytes: UnsafeRawPointer, _ changes: CompiledHeaderChanges?, keepsHost: Bool, _ edits: RequestEdits,
        hasOwnBody: Bool
    ) {
        let loop: GatewayLoop = self.loop
        let table: HTTPFieldTable = loop.requestTable
        let count: Int = loop.requestHead.fieldCount
        let stripped: Int = Int(self.exchange.forwarding.strippedField)
        let namesOthers: Bool = loop.requestHead.flags.contains(.namesOthers)
        let keepsTrailerField: Bool = self.exchange.body.kind == .chunked && !hasOwnBody
        let replacesTrace: Bool = loop.isTracing
        let countsForwards: Bool = self.exchange.forwardsLeft > 0
        HeadComposer.copyFields(
            bytes, from: loop.requestHead.fieldsStart, to: loop.requestHead.count - 2, table: table, count: count,
            into: &loop.out
        ) { (field: HTTPField, index: Int) -> Bool in
            if index == stripped { return true }
            switch field.known {
            case .other:
                if countsForwards, HeadComposer.isNamed(field, bytes, by: Self.maxForwardsName) { return true }
            case .host: return !keepsHost
            case .trailer: return !keepsTrailerField
            case .traceparent where replacesTrace: return true
            // The gateway has read the body: nobody has to be asked for it any more.
            case .contentLength, .expect: if hasOwnBody { return true }
            default: if field.known.isHopByHop { return true }
            }
            if namesOthers, HeadComposer.isNamedByConnection(field, bytes, table: table, count: count) { return true }
            if HeadComposer.isNamed(field, bytes, by: edits.removedFields) { return true }
            guard let changes: CompiledHeaderChanges = changes else { return false }
            return HeadComposer.isChanged(field, bytes, by: changes)
        }
    }

    /// Goes on with the caller's trace in a span of our own, or begins one.
    private func composeTrace(_ bytes: UnsafeRawPointer) {
        let loop: GatewayLoop = self.loop
        if let outer: TraceContext = self.outerTrace(bytes) {
            self.exchange.traceHigh = outer.traceIDHigh
            self.exchange.traceLow = outer.traceIDLow
            self.exchange.parentSpan = outer.spanID
            self.exchange.isSampled = outer.isSampled
            self.exchange.span = max(1, loop.random.next())
        } else {
            self.beginTrace()
        }
        loop.out.append("traceparent: 00-")
        loop.out.append(hexadecimal: self.exchange.traceHigh)
        loop.out.append(hexadecimal: self.exchange.traceLow)
        loop.out.append("-")
        // Where spans are sent, each try has its own, which the target gets as its parent.
        var told: UInt64 = self.exchange.span
        if loop.attempts != nil {
            self.exchange.marks.span = UInt16(truncatingIfNeeded: loop.out.count - Int(self.exchange.marks.hostEnd))
            told = AttemptRecord.span(1, of: told)
        }
        loop.out.append(hexadecimal: told)
        loop.out.append(self.exchange.isSampled ? "-01\r\n" : "-00\r\n")
    }

    /// Makes the exchange the first of a trace; whether it is sampled is decided here, before anything is known of it.
    func beginTrace() {
        let loop: GatewayLoop = self.loop
        self.exchange.isSampled = loop.isTracing && loop.samples()
        // Zero ids mean that there is none.
        self.exchange.traceHigh = loop.random.next()
        self.exchange.traceLow = max(1, loop.random.next())
        self.exchange.span = max(1, loop.random.next())
        self.exchange.parentSpan = 0
    }

    /// Gives a span to an exchange that nobody was told about: answered here, in the caller's trace or in none.
    func openSpan() {
        guard self.exchange.span == 0 else { return }
        if self.exchange.traceHigh | self.exchange.traceLow == 0 {
            self.beginTrace()
        } else {
            self.exchange.span = max(1, self.loop.random.next())
        }
    }

    /// The trace the caller named, when its head is still the one in the loop's table.
    func outerTrace(_ bytes: UnsafeRawPointer) -> TraceContext? {
        let loop: GatewayLoop = self.loop
        guard loop.requestHead.flags.contains(.hasTraceparent) else { return nil }
        for index in 0..<loop.requestHead.fieldCount where loop.requestTable.fields[index].known == .traceparent {
            let field: HTTPField = loop.requestTable.fields[index]
            return TraceContext(
                traceparent: UnsafeRawBufferPointer(start: bytes + Int(field.valueStart), count: Int(field.valueCount)))
        }
        return nil
    }

    /// Rewrites the head at the start of a block for another target: its base path and its Host line.
    func readdress(_ block: inout ByteBlock, to pool: TargetPool) {
        let loop: GatewayLoop = self.loop
        let marks: ReplayMarks = self.exchange.marks
        let old: UnsafeRawPointer = UnsafeRawPointer(block.base)
        loop.out.clear()
        loop.out.append(old, Int(marks.baseStart))
        loop.out.append(pool.basePath)
        self.exchange.marks.pathStart = UInt16(truncatingIfNeeded: loop.out.count)
        loop.out.append(old + Int(marks.pathStart), Int(marks.lineEnd) - Int(marks.pathStart))
        self.exchange.marks.lineEnd = UInt16(truncatingIfNeeded: loop.out.count)
        if marks.hostEnd > marks.lineEnd { loop.out.append(pool.hostLine) }
        self.exchange.marks.hostEnd = UInt16(truncatingIfNeeded: loop.out.count)
        let rest: Int = block.end - Int(marks.hostEnd)
        var moved: ByteBlock = loop.blocks.take(loop.out.count + rest)
        moved.append(UnsafeRawPointer(loop.out.base), loop.out.count)
        moved.append(old + Int(marks.hostEnd), rest)
        loop.blocks.give(block)
        block = moved
    }

    /// Whether a problem document goes out as text: the client asks for text and not for JSON.
    func prefersText(_ bytes: UnsafeRawPointer) -> Bool {
        let loop: GatewayLoop = self.loop
        var isText: Bool = false
        for index in 0..<loop.requestHead.fieldCount where loop.requestTable.fields[index].known == .accept {
            let field: HTTPField = loop.requestTable.fields[index]
            let value: UnsafeRawBufferPointer = UnsafeRawBufferPointer(
                start: bytes + Int(field.valueStart), count: Int(field.valueCount))
            if HeadComposer.contains(value, "json") { return false }
            if HeadComposer.contains(value, "text/") { isText = true }
        }
        return isText
    }
}
