import Bytes
import CNGHTTP2
import Crypto
import EventLoops
import HTTP

/// Header blocks that come, from callbacks.
extension HTTP2Stream {
    /// Header blocks that wait to be read at most, in bytes: interim responses that nobody takes.
    private static let headBytesWaitingMax: Int = 64 * 1024

    func field(
        _ name: UnsafePointer<UInt8>, _ nameCount: Int, _ value: UnsafePointer<UInt8>, _ valueCount: Int
    ) -> Int32 {
        let limit: Int = self.loop.settings.limits.headBytesMax
        if self.composer.listBytes + nameCount + valueCount + 32 > limit {
            self.composer.countOnly(nameCount + valueCount + 32)
            self.refusal = .headTooLarge
            // Compressed, a list may be a thousand times its bytes: reading all of it would be the attack.
            return self.composer.listBytes > limit * HTTP2Limits.headerListFactor
                ? self.connection.condemn(.headerList) : 0
        }
        self.composer.add(name, nameCount, value, valueCount, self.loop.blocks)
        return 0
    }

    func headersEnded(endsStream: Bool) {
        self.composer.finish(self.loop.blocks)
        if self.composer.isBad, self.refusal == nil { self.refusal = .fieldValue }
        if self.composer.isTrailers, self.refusal != nil {
            // The message is under way: it ends here.
            self.refusal = nil
            self.reset(NGHTTP2_PROTOCOL_ERROR)
            return
        }
        if self.composer.isTrailers {
            self.trailers = self.composer.takeLines()
            // A body with a length has no place for them.
            if self.inputFraming != .chunked { self.give(&self.trailers) }
        } else if self.client != nil {
            self.requestHeadEnded(endsStream)
        } else {
            self.responseHeadEnded(endsStream)
        }
        if endsStream { self.endInput() } else { self.connection.wake(self) }
    }

    private func requestHeadEnded(_ endsStream: Bool) {
        self.headWasRead = true
        if self.refusal != nil {
            if let lines: ByteBlock = self.composer.takeLines() { self.loop.blocks.give(lines) }
            return
        }
        self.isHeadRequest = self.composer.isHead
        self.isGRPC = self.composer.isGRPC
        self.limitCall(self.composer.callTimeout)
        if self.composer.opensWebSocket {
            self.inputFraming = .raw
            // The client of RFC 8441 sends no key; the target answers to one (RFC 6455, 4.1).
            let key: [UInt8] = Array("sec-websocket-key: \(Base64.encode(Random.bytes(16)))\r\n".utf8)
            self.composer.append(bytes: key, self.loop.blocks)
        } else if endsStream {
            self.inputFraming = .none
        } else if self.composer.hasLength {
            self.inputFraming = .length
        } else if self.composer.isConnect {
            self.inputFraming = .none
        } else {
            self.inputFraming = .chunked
            self.composer.append("transfer-encoding: chunked\r\n", self.loop.blocks)
        }
        self.composer.append("\r\n", self.loop.blocks)
        self.head = self.composer.takeLines()
    }

    private func responseHeadEnded(_ endsStream: Bool) {
        let status: Int = self.composer.status
        let isBad: Bool = self.refusal != nil || (self.head?.count ?? 0) > HTTP2Stream.headBytesWaitingMax
        if isBad {
            if let lines: ByteBlock = self.composer.takeLines() { self.loop.blocks.give(lines) }
            self.refusal = nil
            self.reset(NGHTTP2_PROTOCOL_ERROR)
            return
        }
        if status >= 200 {
            self.headWasRead = true
            self.frameResponse(status, endsStream)
        }
        self.composer.append("\r\n", self.loop.blocks)
        guard let lines: ByteBlock = self.composer.takeLines() else { return }
        guard var head: ByteBlock = self.head else {
            self.head = lines
            return
        }
        self.loop.blocks.append(UnsafeRawPointer(lines.base + lines.start), lines.count, to: &head)
        self.head = head
        self.loop.blocks.give(lines)
    }

    /// Says where the body of a response ends in the way HTTP/1.1 does.
    private func frameResponse(_ status: Int, _ endsStream: Bool) {
        if self.isHeadRequest || status == 204 || status == 304 {
            self.inputFraming = .none
        } else if endsStream {
            self.inputFraming = .none
            if !self.composer.hasLength { self.composer.append("content-length: 0\r\n", self.loop.blocks) }
        } else if self.composer.hasLength {
            self.inputFraming = .length
        } else {
            self.inputFraming = .chunked
            self.composer.append("transfer-encoding: chunked\r\n", self.loop.blocks)
        }
    }
}
