import CNGHTTP2
import EventLoops

/// What nghttp2 calls, for both sides. The context of each is its connection, which outlives its session.
enum HTTP2Callbacks {
    /// One set for all sessions, which copy it. Made once and never changed.
    nonisolated(unsafe) static let all: OpaquePointer? = {
        var callbacks: OpaquePointer?
        guard nghttp2_session_callbacks_new(&callbacks) == 0 else { return nil }
        nghttp2_session_callbacks_set_on_begin_headers_callback(callbacks, HTTP2Callbacks.headersBegan)
        nghttp2_session_callbacks_set_on_header_callback(callbacks, HTTP2Callbacks.field)
        nghttp2_session_callbacks_set_on_invalid_header_callback(callbacks, HTTP2Callbacks.badField)
        nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, HTTP2Callbacks.frameCame)
        nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, HTTP2Callbacks.data)
        nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, HTTP2Callbacks.streamClosed)
        nghttp2_session_callbacks_set_on_frame_send_callback(callbacks, HTTP2Callbacks.frameSent)
        nghttp2_session_callbacks_set_on_begin_frame_callback(callbacks, HTTP2Callbacks.frameBegan)
        return callbacks
    }()

    private static func connection(_ context: UnsafeMutableRawPointer?) -> HTTP2Connection? {
        context.map { Unmanaged<HTTP2Connection>.fromOpaque($0).takeUnretainedValue() }
    }

    private static func stream(_ session: OpaquePointer?, _ id: Int32) -> HTTP2Stream? {
        guard let raw: UnsafeMutableRawPointer = nghttp2_session_get_stream_user_data(session, id) else { return nil }
        return Unmanaged<HTTP2Stream>.fromOpaque(raw).takeUnretainedValue()
    }

    private static let frameBegan: nghttp2_on_begin_frame_callback = { _, header, context in
        guard let header: UnsafePointer<nghttp2_frame_hd>, let connection = HTTP2Callbacks.connection(context) else {
            return 0
        }
        // Not told as a whole: the settings say that nobody reads it. The library does not look at its stream (RFC 9113, 6.3).
        if header.pointee.type == UInt8(NGHTTP2_PRIORITY.rawValue) {
            if header.pointee.stream_id == 0 { return connection.condemn(.protocolError) }
            return connection.note(.priority)
        }
        // Only a block that goes on in other frames keeps the connection waiting.
        let isWhole: Bool = header.pointee.flags & UInt8(NGHTTP2_FLAG_END_HEADERS.rawValue) != 0
        if header.pointee.type == UInt8(NGHTTP2_HEADERS.rawValue), connection.isServer,
            !connection.streamNumbers.admits(header.pointee.stream_id)
        {
            return connection.condemn(.protocolError)
        }
        if header.pointee.type == UInt8(NGHTTP2_HEADERS.rawValue), !isWhole {
            connection.headerBlockSince = connection.loop.events.now
        } else if header.pointee.type != UInt8(NGHTTP2_CONTINUATION.rawValue) || isWhole {
            connection.headerBlockSince = nil
        }
        return 0
    }

    private static let headersBegan: nghttp2_on_begin_headers_callback = { _, frame, context in
        guard let frame: UnsafePointer<nghttp2_frame>, let connection = HTTP2Callbacks.connection(context) else {
            return 0
        }
        connection.headerStream = nil
        connection.headersBegan(frame.pointee.headers, frame.pointee.hd.stream_id)
        return 0
    }

    private static let field: nghttp2_on_header_callback = {
        _, _, name, nameCount, value, valueCount, _, context in
        guard let connection = HTTP2Callbacks.connection(context), let stream: HTTP2Stream = connection.headerStream,
            let name: UnsafePointer<UInt8>, let value: UnsafePointer<UInt8>
        else { return 0 }
        return stream.field(name, nameCount, value, valueCount)
    }

    /// A field that may not stand there: the session would leave it out, which two programs would understand differently.
    private static let badField: nghttp2_on_invalid_header_callback = { _, _, _, _, _, _, _, context in
        HTTP2Callbacks.connection(context)?.headerStream?.composer.markBad()
        return 0
    }

    private static let frameCame: nghttp2_on_frame_recv_callback = { session, frame, context in
        guard let frame: UnsafePointer<nghttp2_frame>, let connection = HTTP2Callbacks.connection(context) else {
            return 0
        }
        let header: nghttp2_frame_hd = frame.pointee.hd
        let endsStream: Bool = header.flags & UInt8(NGHTTP2_FLAG_END_STREAM.rawValue) != 0
        switch UInt32(header.type) {
        case NGHTTP2_DATA.rawValue:
            if endsStream {
                HTTP2Callbacks.stream(session, header.stream_id)?.endInput()
            } else if header.length == 0 {
                return connection.note(.emptyData)
            }
        case NGHTTP2_HEADERS.rawValue:
            if let stream: HTTP2Stream = connection.headerStream {
                connection.headerStream = nil
                stream.headersEnded(endsStream: endsStream)
            }
        case NGHTTP2_SETTINGS.rawValue:
            if header.flags & UInt8(NGHTTP2_FLAG_ACK.rawValue) == 0, connection.note(.settings) != 0 {
                return NGHTTP2_ERR_CALLBACK_FAILURE.rawValue
            }
            connection.controlFrame(frame)
        case NGHTTP2_PING.rawValue:
            if header.flags & UInt8(NGHTTP2_FLAG_ACK.rawValue) == 0 { return connection.note(.ping) }
            connection.controlFrame(frame)
        case NGHTTP2_WINDOW_UPDATE.rawValue: return connection.note(.windowUpdate)
        case NGHTTP2_RST_STREAM.rawValue: return connection.note(.reset)
        default: connection.controlFrame(frame)
        }
        return 0
    }

    private static let data: nghttp2_on_data_chunk_recv_callback = { session, _, id, bytes, count, _ in
        guard let session: OpaquePointer, let bytes: UnsafePointer<UInt8>, count > 0 else { return 0 }
        if let stream: HTTP2Stream = HTTP2Callbacks.stream(session, id) {
            stream.data(UnsafeRawPointer(bytes), count, session)
        } else {
            _ = nghttp2_session_consume(session, id, count)
        }
        return 0
    }

    private static let streamClosed: nghttp2_on_stream_close_callback = { session, id, code, context in
        guard let stream: HTTP2Stream = HTTP2Callbacks.stream(session, id) else { return 0 }
        _ = nghttp2_session_set_stream_user_data(session, id, nil)
        if let connection = HTTP2Callbacks.connection(context), connection.headerStream === stream {
            connection.headerStream = nil
        }
        stream.over(code)
        return 0
    }

    private static let frameSent: nghttp2_on_frame_send_callback = { session, frame, context in
        guard let frame: UnsafePointer<nghttp2_frame>, let connection = HTTP2Callbacks.connection(context) else {
            return 0
        }
        let header: nghttp2_frame_hd = frame.pointee.hd
        switch UInt32(header.type) {
        case NGHTTP2_DATA.rawValue, NGHTTP2_HEADERS.rawValue:
            if header.flags & UInt8(NGHTTP2_FLAG_END_STREAM.rawValue) != 0 {
                HTTP2Callbacks.stream(session, header.stream_id)?.outputEnded()
            }
        case NGHTTP2_RST_STREAM.rawValue where frame.pointee.rst_stream.error_code != NGHTTP2_NO_ERROR.rawValue:
            // What the peer makes us reset counts like what it resets itself.
            return connection.isServer ? connection.note(.reset) : 0
        default: break
        }
        return 0
    }

    /// Fills a DATA frame.
    static let readBody: nghttp2_data_source_read_callback = { _, _, buffer, room, flags, source, _ in
        guard let raw: UnsafeMutableRawPointer = source?.pointee.ptr, let buffer: UnsafeMutablePointer<UInt8>,
            let flags: UnsafeMutablePointer<UInt32>
        else { return Int(NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE.rawValue) }
        let stream: HTTP2Stream = Unmanaged<HTTP2Stream>.fromOpaque(raw).takeUnretainedValue()
        return stream.readOutput(UnsafeMutableRawPointer(buffer), room, &flags.pointee)
    }
}
