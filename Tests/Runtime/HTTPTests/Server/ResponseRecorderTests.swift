import Testing

@testable import HTTP

@Suite struct ResponseRecorderTests {
    @Test func collectsAStreamOfAnyLength() async throws {
        let piece: [UInt8] = [UInt8](repeating: 7, count: 50_000)
        let body: HTTPResponse.Body = .stream { writer in
            for _ in 0..<10 { try await writer.write(piece) }
        }
        #expect(try await body.collect().count == 500_000)
        #expect(try await HTTPResponse.Body.bytes([1, 2]).collect() == [1, 2])
    }

    @Test func aBrokenStreamThrows() async {
        let body: HTTPResponse.Body = .stream { writer in
            try await writer.write([1])
            throw HTTPError.disconnected
        }
        await #expect(throws: HTTPError.disconnected) { try await body.collect() }
    }

    @Test func afterADisconnectWritesFail() async throws {
        let recorder: ResponseRecorder = ResponseRecorder()
        try await recorder.writer.write("a")
        recorder.disconnect()
        await #expect(throws: HTTPError.disconnected) { try await recorder.writer.write("b") }
        #expect(recorder.received == [97])
    }
}
