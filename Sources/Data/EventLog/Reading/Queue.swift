/// First in, first out, over one array: taking from the front is O(1) amortised.
struct Queue<Element> {
    private var storage: [Element?] = []
    private var front: Int = 0

    var count: Int { self.storage.count - self.front }
    var isEmpty: Bool { self.count == 0 }
    var first: Element? { self.isEmpty ? nil : self.storage[self.front] }

    /// The element `index` places behind the first.
    subscript(index: Int) -> Element {
        guard let element: Element = self.storage[self.front + index] else { preconditionFailure("within the queue") }
        return element
    }

    mutating func append(_ element: Element) { self.storage.append(element) }

    mutating func popFirst() -> Element? {
        guard self.front < self.storage.count else { return nil }
        let element: Element? = self.storage[self.front]
        self.storage[self.front] = nil
        self.front += 1
        if self.front > 32, self.front * 2 > self.storage.count {
            self.storage.removeFirst(self.front)
            self.front = 0
        }
        return element
    }
}
