import GatewayConfiguration
import HTTP
import Synchronization

/// Requests of which a copy goes to a mirror. It is put together from what goes upstream, and handed over when all of it went:
/// the client's exchange never waits for it.
extension ClientConnection {
    /// Begins the copy with what goes upstream first, where the upstream has a mirror and chance says so.
    func beginMirror(_ block: ByteBlock) {
        // What a WebSocket says is nothing without what it is answered.
        guard !self.exchange.isUpgrade, let steered: SteeredExchange = self.steered,
            let plan: MirrorPlan = self.mirrorPlan
        else { return }
        if plan.definition.share < 100, Int.random(in: 0..<100, using: &self.loop.random) >= plan.definition.share {
            return
        }
        guard self.fitsMirror(plan, block.count) else {
            plan.counts.unfit.wrappingAdd(1, ordering: .relaxed)
            return
        }
        var copy: ByteBlock = self.loop.blocks.take(block.count)
        copy.append(UnsafeRawPointer(block.base + block.start), block.count)
        steered.mirrorCopy = copy
        steered.mirrorMarks = self.exchange.marks
        self.mirrorIfWhole()
    }

    /// Adds more of the body that goes upstream.
    func mirrorSent(_ bytes: UnsafeRawPointer, _ count: Int) {
        guard let steered: SteeredExchange = self.steered, var copy: ByteBlock = steered.mirrorCopy,
            let plan: MirrorPlan = self.mirrorPlan
        else { return }
        guard self.fitsMirror(plan, copy.count + count) else {
            self.dropMirror()
            return
        }
        self.loop.blocks.append(bytes, count, to: &copy)
        steered.mirrorCopy = copy
        self.mirrorIfWhole()
    }

    /// Hands the copy over when all of the request is in it.
    func mirrorIfWhole() {
        guard self.exchange.isRequestGiven, let steered: SteeredExchange = self.steered,
            let copy: ByteBlock = steered.mirrorCopy
        else { return }
        steered.mirrorCopy = nil
        if let plan: MirrorPlan = self.mirrorPlan, plan.takePlace() {
            let bytes: [UInt8] = ClientConnection.readdressed(copy, steered.mirrorMarks, plan)
            self.loop.mirrors.send(bytes, isHead: self.exchange.method == .head, to: plan)
        }
        self.loop.blocks.give(copy)
    }

    /// Not all of the request went upstream, or it is too long: there is no copy of it.
    func dropMirror() {
        guard let steered: SteeredExchange = self.steered, let copy: ByteBlock = steered.mirrorCopy else { return }
        steered.mirrorCopy = nil
        self.loop.blocks.give(copy)
        self.mirrorPlan?.counts.unfit.wrappingAdd(1, ordering: .relaxed)
    }

    private var mirrorPlan: MirrorPlan? {
        self.exchange.group?._withUnsafeGuaranteedRef { $0.steering?.plan.mirror }
    }

    /// Bodies that said their length are refused before their bytes are kept.
    private func fitsMirror(_ plan: MirrorPlan, _ count: Int) -> Bool {
        let bodyMax: UInt64 = UInt64(plan.definition.bodyBytesMax)
        if self.exchange.requestBytes > bodyMax || self.exchange.outgoingLeft > plan.definition.bodyBytesMax {
            return false
        }
        if self.exchange.body.kind == .length, self.exchange.requestBytes &+ self.exchange.body.left > bodyMax {
            return false
        }
        return count <= ClientConnection.copyBytesMax
    }

    /// The copy with the mirror's base path and host, on a connection that ends with it.
    private static func readdressed(_ copy: ByteBlock, _ marks: ReplayMarks, _ plan: MirrorPlan) -> [UInt8] {
        let raw: UnsafeRawBufferPointer = copy.bytes
        var bytes: [UInt8] = []
        bytes.reserveCapacity(raw.count + plan.basePath.count + plan.hostLine.count + 32)
        bytes.append(contentsOf: raw[..<Int(marks.baseStart)])
        bytes.append(contentsOf: plan.basePath)
        bytes.append(contentsOf: raw[Int(marks.pathStart)..<Int(marks.lineEnd)])
        if marks.hostEnd > marks.lineEnd { bytes.append(contentsOf: plan.hostLine) }
        bytes.append(contentsOf: "Connection: close\r\n".utf8)
        bytes.append(contentsOf: raw[Int(marks.hostEnd)...])
        return bytes
    }
}
