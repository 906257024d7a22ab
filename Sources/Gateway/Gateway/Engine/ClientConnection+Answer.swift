import EventLoops
import HTTP
import Identifiers

extension ClientConnection {
    /// Gives the gateway's own answer: a problem document (RFC 9457), as JSON or as text.
    ///
    /// - Parameters:
    ///   - lines: complete header lines besides those every answer has.
    ///   - allow: value of the Allow field, for those answers that have one.
    func answer(_ reason: RequestReason, lines: [UInt8] = [], allow: [UInt8] = []) {
        if let context: PolicyContext = self.context, let local: LocalAnswer = self.fallbackAnswer(context, reason) {
            self.dropUpstream()
            self.answer(local)
            return
        }
        self.exchange.reason = reason
        self.exchange.status = reason.status
        self.exchange.responseComposed = true
        let keeps: Bool = self.survivesAnswer(reason)
        self.exchange.keepsAlive = keeps
        self.phase = .answering
        if reason.endsConnection { self.channel.refuseFurtherStreams() }
        self.composeAnswer(reason, lines: lines, allow: allow, keeps: keeps)
        self.sendScratch()
        self.finishAnswer(keeps: keeps)
    }

    /// The answer was given: what comes then depends on whether all of it went out, and on what is left of the request.
    func finishAnswer(keeps: Bool) {
        guard self.phase == .answering else { return }
        let loop: GatewayLoop = self.loop
        if self.context?.queue.isEmpty ?? true { self.finishRecord() }
        if !keeps {
            self.closesAfterOutput = true
            if self.pending == nil { self.finishConnection() }
        } else if self.exchange.body.isDone, self.pending == nil {
            self.becomeIdle()
        } else {
            loop.events.schedule(self.timer, at: loop.events.now &+ self.exchange.times.idle)
        }
    }

    /// Refuses bytes that are no request; their end is unknown, so the connection ends.
    func refuse(_ refusal: HTTPRefusal) {
        self.exchange.keepsAlive = false
        self.exchange.body.finish()
        self.inputReady = true
        self.answer(RequestReason(refusal))
    }

    /// Whether another request may follow the answer: what is left of this one's body is short enough to be read and dropped,
    /// and will come.
    func survivesAnswer(_ reason: RequestReason) -> Bool {
        if !self.exchange.keepsAlive || self.loop.isDraining || reason.endsConnection { return false }
        if self.exchange.body.isDone { return true }
        // It may never come: the client was told that it need not send it.
        if self.exchange.expectsContinue { return false }
        switch reason {
        case .requestTimeout, .badRequest, .bodyTooLarge, .headTooLarge: return false
        default: break
        }
        self.exchange.discardLeft = self.loop.settings.discardBytesMax
        return self.exchange.body.kind == .chunked || self.exchange.body.left <= self.exchange.discardLeft
    }

    private func composeAnswer(_ reason: RequestReason, lines: [UInt8], allow: [UInt8], keeps: Bool) {
        let loop: GatewayLoop = self.loop
        let status: Int = reason.status
        if self.channel.isGRPC {
            self.composeGRPCAnswer(reason, lines: lines, keeps: keeps)
            return
        }
        loop.out.clear()
        loop.out.append("HTTP/1.1 ")
        loop.out.append(decimal: status)
        loop.out.append(" ")
        loop.out.append(StatusText.reason(status))
        loop.out.append("\r\nDate: ")
        loop.out.append(loop.events.httpDate())
        loop.out.append("\r\n")
        if !allow.isEmpty || reason == .methodNotAllowed {
            loop.out.append("Allow: ")
            loop.out.append(allow)
            loop.out.append("\r\n")
        }
        loop.out.append(lines)
        if let context: PolicyContext = self.context { loop.out.append(context.answerFields.bytes) }
        self.composeRetryAfter(reason)
        if !keeps {
            loop.out.append("Connection: close\r\n")
        } else if self.exchange.minorVersion == 0 {
            loop.out.append("Connection: keep-alive\r\n")
        }
        if status == 204 {
            loop.out.append("\r\n")
            return
        }
        self.composeProblem(reason)
    }

    private func composeRetryAfter(_ reason: RequestReason) {
        let loop: GatewayLoop = self.loop
        var seconds: Int = 1
        switch reason {
        case .upstreamUnavailable, .circuitOpen:
            if let group: Unmanaged<UpstreamGroup> = self.exchange.group {
                seconds = group._withUnsafeGuaranteedRef { $0.secondsUntilTrial(now: loop.events.now) }
            }
        case .upstreamOverloaded, .overloaded, .draining: break
        default: return
        }
        loop.out.append("Retry-After: ")
        loop.out.append(decimal: seconds)
        loop.out.append("\r\n")
    }

    /// The document behind its own fields; to HEAD only the fields.
    private func composeProblem(_ reason: RequestReason) {
        let loop: GatewayLoop = self.loop
        if self.exchange.traceHigh | self.exchange.traceLow == 0 {
            self.beginTrace()
        }
        loop.trailers.clear()
        if self.exchange.wantsText { self.composeText(reason) } else { self.composeJSON(reason) }
        loop.out.append(
            self.exchange.wantsText
                ? "Content-Type: text/plain; charset=utf-8\r\nContent-Length: "
                : "Content-Type: application/problem+json\r\nContent-Length: ")
        loop.out.append(decimal: loop.trailers.count)
        loop.out.append("\r\n\r\n")
        if self.exchange.method != .head { loop.out.append(UnsafeRawPointer(loop.trailers.base), loop.trailers.count) }
    }

    private func composeJSON(_ reason: RequestReason) {
        let loop: GatewayLoop = self.loop
        loop.trailers.append("{\"type\":\"urn:passerelle:problem:")
        loop.trailers.append(text: reason.slug)
        loop.trailers.append("\",\"title\":\"")
        loop.trailers.append(StatusText.reason(reason.status))
        loop.trailers.append("\",\"status\":")
        loop.trailers.append(decimal: reason.status)
        loop.trailers.append(",\"detail\":\"")
        loop.trailers.append(text: reason.sentence)
        loop.trailers.append("\",\"trace_id\":\"")
        loop.trailers.append(hexadecimal: self.exchange.traceHigh)
        loop.trailers.append(hexadecimal: self.exchange.traceLow)
        loop.trailers.append("\"")
        if let members: [UInt8] = self.context?.problemMembers, !members.isEmpty {
            loop.trailers.append(",")
            loop.trailers.append(members)
        }
        loop.trailers.append("}\n")
    }

    private func composeText(_ reason: RequestReason) {
        let loop: GatewayLoop = self.loop
        loop.trailers.append(decimal: reason.status)
        loop.trailers.append(" ")
        loop.trailers.append(StatusText.reason(reason.status))
        loop.trailers.append("\n")
        loop.trailers.append(text: reason.sentence)
        loop.trailers.append("\ntrace: ")
        loop.trailers.append(hexadecimal: self.exchange.traceHigh)
        loop.trailers.append(hexadecimal: self.exchange.traceLow)
        loop.trailers.append("\n")
    }
}

extension RequestReason {
    /// What a refusal of the wire readers is called in answers and records.
    init(_ refusal: HTTPRefusal) {
        switch refusal.status {
        case 414: self = .targetTooLong
        case 417: self = .expectationFailed
        case 431: self = .headTooLarge
        case 505: self = .versionUnsupported
        default: self = .badRequest
        }
    }
}

/// Reason phrases of the statuses the gateway answers itself.
enum StatusText {
    static func reason(_ status: Int) -> StaticString {
        switch status {
        case 200: "OK"
        case 201: "Created"
        case 202: "Accepted"
        case 203: "Non-Authoritative Information"
        case 204: "No Content"
        case 205: "Reset Content"
        case 206: "Partial Content"
        case 300: "Multiple Choices"
        case 301: "Moved Permanently"
        case 302: "Found"
        case 303: "See Other"
        case 304: "Not Modified"
        case 307: "Temporary Redirect"
        case 308: "Permanent Redirect"
        case 400: "Bad Request"
        case 401: "Unauthorized"
        case 403: "Forbidden"
        case 402: "Payment Required"
        case 404: "Not Found"
        case 405: "Method Not Allowed"
        case 406: "Not Acceptable"
        case 408: "Request Timeout"
        case 409: "Conflict"
        case 410: "Gone"
        case 411: "Length Required"
        case 412: "Precondition Failed"
        case 413: "Content Too Large"
        case 414: "URI Too Long"
        case 415: "Unsupported Media Type"
        case 416: "Range Not Satisfiable"
        case 417: "Expectation Failed"
        case 422: "Unprocessable Content"
        case 425: "Too Early"
        case 428: "Precondition Required"
        case 429: "Too Many Requests"
        case 431: "Request Header Fields Too Large"
        case 500: "Internal Server Error"
        case 501: "Not Implemented"
        case 502: "Bad Gateway"
        case 503: "Service Unavailable"
        case 504: "Gateway Timeout"
        case 505: "HTTP Version Not Supported"
        default: "Error"
        }
    }
}
