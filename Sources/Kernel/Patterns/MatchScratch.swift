import CPCRE2
import Glibc

/// What a thread needs to match with: one for each thread, used by all expressions in turn, freed when the thread ends.
final class MatchScratch {
    /// Places tried before the clock is looked at.
    static let firstPiece: Int = 2048
    /// A piece that took less is followed by a larger one.
    static let easyNanoseconds: UInt64 = 100_000
    /// Machine code keeps what it may have to go back to on a stack of its own, bytes.
    private static let stackStart: Int = 32 << 10
    private static let stackMax: Int = 512 << 10

    private let data: OpaquePointer?
    private let context: OpaquePointer?
    private let stack: OpaquePointer?

    private init() {
        self.data = pcre2_match_data_create_8(UInt32(PatternLimits.groupsMax), nil)
        self.context = pcre2_match_context_create_8(nil)
        self.stack = pcre2_jit_stack_create_8(Self.stackStart, Self.stackMax, nil)
        // Without memory for a stack, machine code uses 32 KiB of the thread's own.
        if self.stack != nil { pcre2_jit_stack_assign_8(self.context, nil, UnsafeMutableRawPointer(self.stack)) }
    }

    deinit {
        pcre2_match_data_free_8(self.data)
        pcre2_match_context_free_8(self.context)
        pcre2_jit_stack_free_8(self.stack)
    }

    // MARK: One for each thread

    private static let key: pthread_key_t = {
        var key: pthread_key_t = 0
        let status: Int32 = pthread_key_create(&key) { pointer in
            if let pointer { Unmanaged<MatchScratch>.fromOpaque(pointer).release() }
        }
        precondition(status == 0, "out of thread-specific keys")
        return key
    }()

    /// The calling thread's; made at its first use.
    static var current: MatchScratch {
        if let pointer: UnsafeMutableRawPointer = pthread_getspecific(self.key) {
            return Unmanaged<MatchScratch>.fromOpaque(pointer).takeUnretainedValue()
        }
        let scratch: MatchScratch = MatchScratch()
        pthread_setspecific(self.key, Unmanaged.passRetained(scratch).toOpaque())
        return scratch
    }

    // MARK: Matching

    func prepare(_ limits: PatternLimits, textBytes: Int) {
        let steps: UInt32 = limits.steps(textBytes: textBytes)
        pcre2_set_match_limit_8(self.context, steps)
        pcre2_set_depth_limit_8(self.context, steps)
        pcre2_set_heap_limit_8(self.context, limits.heapKiB)
    }

    /// No match may begin behind `offset`.
    func limit(offset: Int) { pcre2_set_offset_limit_8(self.context, offset) }

    func match(_ code: OpaquePointer, _ text: UnsafeRawBufferPointer, from start: Int, options: UInt32) -> Int32 {
        guard let data: OpaquePointer = self.data else { return PCRE2_ERROR_NOMEMORY }
        var empty: UInt8 = 0
        return withUnsafePointer(to: &empty) { empty in
            let base: UnsafePointer<UInt8> = text.baseAddress?.assumingMemoryBound(to: UInt8.self) ?? empty
            return pcre2_match_8(code, base, text.count, start, options, data, self.context)
        }
    }

    /// The groups of the last match.
    func match(groups: Int) -> PatternMatch {
        guard let places: UnsafeMutablePointer<Int> = pcre2_get_ovector_pointer_8(self.data) else {
            return PatternMatch(groups: [nil])
        }
        var ranges: [Range<Int>?] = []
        ranges.reserveCapacity(groups + 1)
        for index in 0...groups {
            let start: Int = places[2 * index]
            let end: Int = places[2 * index + 1]
            // A group that took no part has all bits set; `\K` in a look-ahead can put the start behind the end.
            ranges.append(start >= 0 && start <= end ? start..<end : nil)
        }
        return PatternMatch(groups: ranges)
    }
}

/// Processor time of the calling thread: other threads' work does not count against a text.
enum ThreadTime {
    static func now() -> UInt64 {
        var time: timespec = timespec()
        clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time)
        return UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec)
    }
}
