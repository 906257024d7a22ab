import CBrotli
import CZlib
import CZstd
import GatewayConfiguration
import Synchronization

/// Compresses one body as it passes. On one loop; a library's state is freed with it.
class BodyCoder {
    /// States at once in one process; beyond: bodies go out as they are. Up to a megabyte each.
    static let statesMax: Int = 2048
    private static let states: Atomic<Int> = Atomic(0)

    init() { BodyCoder.states.wrappingAdd(1, ordering: .relaxed) }

    deinit { BodyCoder.states.wrappingSubtract(1, ordering: .relaxed) }

    /// Takes bytes in. `flushes`: all that was taken so far can be read from what came out.
    func code(_ bytes: UnsafeRawBufferPointer, flushes: Bool, into out: inout [UInt8]) -> Bool { false }

    /// Writes what is left.
    func finish(into out: inout [UInt8]) -> Bool { false }

    /// Nil when there are too many, or no memory for another.
    static func make(_ algorithm: CompressionPolicy.Algorithm) -> BodyCoder? {
        guard self.states.load(ordering: .relaxed) < self.statesMax else { return nil }
        switch algorithm {
        case .gzip: return GzipCoder()
        case .brotli: return BrotliCoder()
        case .zstd: return ZstdCoder()
        }
    }

    /// Bytes a library writes at once.
    fileprivate static let pieceBytes: Int = 16 * 1024
}

/// gzip (RFC 1952) at level 5: about 100 MB/s, a percent larger than the best.
private final class GzipCoder: BodyCoder {
    // The library keeps a pointer to it: it must not move.
    private let stream: UnsafeMutablePointer<z_stream> = .allocate(capacity: 1)

    override init() {
        self.stream.initialize(to: z_stream())
        super.init()
        // 15 bits of window, 16 for gzip's frame.
        deflateInit2_(
            self.stream, 5, Z_DEFLATED, 31, 8, Z_DEFAULT_STRATEGY, ZLIB_VERSION, Int32(MemoryLayout<z_stream>.size))
    }

    deinit {
        deflateEnd(self.stream)
        self.stream.deallocate()
    }

    override func code(_ bytes: UnsafeRawBufferPointer, flushes: Bool, into out: inout [UInt8]) -> Bool {
        self.run(bytes, flushes ? Z_SYNC_FLUSH : Z_NO_FLUSH, &out)
    }

    override func finish(into out: inout [UInt8]) -> Bool {
        self.run(UnsafeRawBufferPointer(start: nil, count: 0), Z_FINISH, &out)
    }

    private func run(_ bytes: UnsafeRawBufferPointer, _ mode: Int32, _ out: inout [UInt8]) -> Bool {
        self.stream.pointee.next_in = UnsafeMutablePointer(
            mutating: bytes.baseAddress?.assumingMemoryBound(to: UInt8.self))
        self.stream.pointee.avail_in = UInt32(bytes.count)
        return withUnsafeTemporaryAllocation(byteCount: BodyCoder.pieceBytes, alignment: 16) { piece in
            while true {
                self.stream.pointee.next_out = piece.baseAddress?.assumingMemoryBound(to: UInt8.self)
                self.stream.pointee.avail_out = UInt32(piece.count)
                let result: Int32 = deflate(self.stream, mode)
                guard result == Z_OK || result == Z_STREAM_END || result == Z_BUF_ERROR else { return false }
                out.append(contentsOf: piece[..<(piece.count - Int(self.stream.pointee.avail_out))])
                if self.stream.pointee.avail_out > 0 { return true }
            }
        }
    }
}

/// brotli (RFC 7932) at quality 4, with a window of 256 KiB: what is worth it while somebody waits.
private final class BrotliCoder: BodyCoder {
    private let state: OpaquePointer?

    override init() {
        self.state = BrotliEncoderCreateInstance(nil, nil, nil)
        super.init()
        if let state: OpaquePointer = self.state {
            BrotliEncoderSetParameter(state, BROTLI_PARAM_QUALITY, 4)
            BrotliEncoderSetParameter(state, BROTLI_PARAM_LGWIN, 18)
        }
    }

    deinit { if let state: OpaquePointer = self.state { BrotliEncoderDestroyInstance(state) } }

    override func code(_ bytes: UnsafeRawBufferPointer, flushes: Bool, into out: inout [UInt8]) -> Bool {
        self.run(bytes, flushes ? BROTLI_OPERATION_FLUSH : BROTLI_OPERATION_PROCESS, &out)
    }

    override func finish(into out: inout [UInt8]) -> Bool {
        self.run(UnsafeRawBufferPointer(start: nil, count: 0), BROTLI_OPERATION_FINISH, &out)
    }

    private func run(
        _ bytes: UnsafeRawBufferPointer, _ operation: BrotliEncoderOperation, _ out: inout [UInt8]
    ) -> Bool {
        guard let state: OpaquePointer = self.state else { return false }
        var input: UnsafePointer<UInt8>? = bytes.baseAddress?.assumingMemoryBound(to: UInt8.self)
        var left: Int = bytes.count
        return withUnsafeTemporaryAllocation(byteCount: BodyCoder.pieceBytes, alignment: 16) { piece in
            while true {
                var output: UnsafeMutablePointer<UInt8>? = piece.baseAddress?.assumingMemoryBound(to: UInt8.self)
                var room: Int = piece.count
                guard BrotliEncoderCompressStream(state, operation, &left, &input, &room, &output, nil) != 0 else {
                    return false
                }
                out.append(contentsOf: piece[..<(piece.count - room)])
                if left == 0, BrotliEncoderHasMoreOutput(state) == 0 { return true }
            }
        }
    }
}

/// zstd (RFC 8878) at level 3, with a window of at most 8 MiB, as RFC 9659 asks of content codings.
private final class ZstdCoder: BodyCoder {
    private let state: OpaquePointer?

    override init() {
        self.state = ZSTD_createCCtx()
        super.init()
        if let state: OpaquePointer = self.state {
            ZSTD_CCtx_setParameter(state, ZSTD_c_compressionLevel, 3)
            ZSTD_CCtx_setParameter(state, ZSTD_c_windowLog, 18)
        }
    }

    deinit { ZSTD_freeCCtx(self.state) }

    override func code(_ bytes: UnsafeRawBufferPointer, flushes: Bool, into out: inout [UInt8]) -> Bool {
        self.run(bytes, flushes ? ZSTD_e_flush : ZSTD_e_continue, &out)
    }

    override func finish(into out: inout [UInt8]) -> Bool {
        self.run(UnsafeRawBufferPointer(start: nil, count: 0), ZSTD_e_end, &out)
    }

    private func run(_ bytes: UnsafeRawBufferPointer, _ mode: ZSTD_EndDirective, _ out: inout [UInt8]) -> Bool {
        guard let state: OpaquePointer = self.state else { return false }
        var input: ZSTD_inBuffer = ZSTD_inBuffer(src: bytes.baseAddress, size: bytes.count, pos: 0)
        return withUnsafeTemporaryAllocation(byteCount: BodyCoder.pieceBytes, alignment: 16) { piece in
            while true {
                var output: ZSTD_outBuffer = ZSTD_outBuffer(dst: piece.baseAddress, size: piece.count, pos: 0)
                let left: Int = ZSTD_compressStream2(state, &output, &input, mode)
                if ZSTD_isError(left) != 0 { return false }
                out.append(contentsOf: piece[..<output.pos])
                // While it only takes in, what it still holds is no reason to call again.
                let isTaken: Bool = input.pos == input.size
                if isTaken, mode == ZSTD_e_continue ? output.pos < output.size : left == 0 { return true }
            }
        }
    }
}
