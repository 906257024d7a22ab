import HTTP

/// The filters of one response, one behind the other, and how far its head has come through them.
///
/// A stage is asked for its filter when the head has passed the one before, so it sees what the others made of the head.
final class ResponseChain {
    let head: ResponseHead = ResponseHead()
    private var stages: [ResponseStage] = []
    /// The next stage to be asked.
    private var nextStage: Int = 0
    private var filters: [ResponseFilter] = []
    private var outputs: [FilterOutput] = []
    /// Place of the filter that holds the head; -1: none.
    private var holder: Int = -1
    /// Bytes at the end that are gathered, because the head is still here and shall tell their number.
    private(set) var gathered: [UInt8] = []

    /// A filter may make another body.
    private(set) var transforms: Bool = false
    /// All filters let the head go.
    private(set) var isHeadReady: Bool = false
    /// The head was given to the client; set by the engine.
    var isHeadSent: Bool = false
    /// How the engine frames the body; decided with the head.
    var framing: OutputFraming = .none
    /// Trailer lines of the upstream, with the empty line.
    var trailers: [UInt8] = []
    /// Why a filter ended the response; `none`: it goes on.
    private(set) var failure: RequestReason = .none
    private var isFinishing: Bool = false
    private var isOver: Bool = true

    enum OutputFraming: UInt8 {
        case none
        case length
        case chunked
        /// The connection's end is the body's.
        case untilClose
    }

    init() {}

    /// A response is on its way.
    var isOpen: Bool { !self.isOver }
    var hasFilters: Bool { !self.filters.isEmpty }

    /// Begins with the head in `head`, at the first stage of this rank. `isWhole`: nothing is given out before the end.
    func begin(_ stages: [ResponseStage], from rank: ResponseRank, _ context: PolicyContext, isWhole: Bool) {
        self.stages = stages
        self.nextStage = 0
        while self.nextStage < stages.count, stages[self.nextStage].rank < rank { self.nextStage += 1 }
        self.isOver = false
        self.isFinishing = isWhole
        self.advance(context)
    }

    private func advance(_ context: PolicyContext) {
        while self.nextStage < self.stages.count {
            let stage: ResponseStage = self.stages[self.nextStage]
            self.nextStage += 1
            guard let filter: ResponseFilter = stage.makeFilter(self.head, context) else { continue }
            self.filters.append(filter)
            self.outputs.append(FilterOutput())
            if filter.transformsBody { self.transforms = true }
            if filter.head(self.head) == .hold {
                precondition(filter.transformsBody, "a filter that holds the head gives the body out itself")
                self.holder = self.filters.count - 1
                return
            }
        }
        self.isHeadReady = true
    }

    /// A piece of the decoded body. What comes out goes to `sink`, or is gathered.
    func feed(_ bytes: UnsafeRawBufferPointer, _ context: PolicyContext, sink: (UnsafeRawBufferPointer) -> Void) {
        self.feed(0, bytes, context, sink)
    }

    private func feed(
        _ index: Int, _ bytes: UnsafeRawBufferPointer, _ context: PolicyContext,
        _ sink: (UnsafeRawBufferPointer) -> Void
    ) {
        if bytes.count == 0 || self.failure != .none { return }
        guard index < self.filters.count else {
            self.give(bytes, sink)
            return
        }
        let filter: ResponseFilter = self.filters[index]
        self.outputs[index].clear()
        filter.body(bytes, &self.outputs[index])
        if filter.transformsBody {
            self.passOn(index, context, sink)
        } else {
            self.feed(index + 1, bytes, context, sink)
        }
    }

    /// Gives what a filter wrote to the next one.
    private func passOn(_ index: Int, _ context: PolicyContext, _ sink: (UnsafeRawBufferPointer) -> Void) {
        if self.outputs[index].failure != .none {
            self.failure = self.outputs[index].failure
            return
        }
        if self.holder == index, self.outputs[index].releasesHead {
            self.holder = -1
            self.advance(context)
        }
        var bytes: [UInt8] = []
        swap(&bytes, &self.outputs[index].bytes)
        bytes.withUnsafeBytes { self.feed(index + 1, $0, context, sink) }
        // The memory goes back to where it is written next time.
        swap(&bytes, &self.outputs[index].bytes)
    }

    /// The body is complete.
    func finish(_ context: PolicyContext, sink: (UnsafeRawBufferPointer) -> Void) {
        if !self.isHeadSent { self.isFinishing = true }
        var index: Int = 0
        while index < self.filters.count, self.failure == .none {
            self.outputs[index].clear()
            self.filters[index].end(&self.outputs[index])
            if self.holder == index { self.outputs[index].releaseHead() }
            self.passOn(index, context, sink)
            index += 1
        }
        if self.failure == .none { self.isOver = true }
    }

    private func give(_ bytes: UnsafeRawBufferPointer, _ sink: (UnsafeRawBufferPointer) -> Void) {
        if self.isFinishing, !self.isHeadSent {
            self.gathered.append(contentsOf: bytes)
        } else {
            sink(bytes)
        }
    }

    /// Forgets the response; filters that have not seen its end are told.
    func reset() {
        if self.filters.isEmpty, self.isOver, !self.isHeadReady { return }
        if !self.isOver { for filter in self.filters { filter.abandoned() } }
        self.head.reset()
        self.stages = []
        self.nextStage = 0
        self.filters.removeAll(keepingCapacity: true)
        self.outputs.removeAll(keepingCapacity: true)
        self.holder = -1
        self.gathered = []
        self.transforms = false
        self.isHeadReady = false
        self.isHeadSent = false
        self.framing = .none
        self.trailers = []
        self.failure = .none
        self.isFinishing = false
        self.isOver = true
    }
}
