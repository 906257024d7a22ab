import GatewayConfiguration
import Testing

@testable import Gateway

struct AddressBookTests {
    private static func place(_ text: String) throws -> TargetDefinitionPlace {
        TargetDefinitionPlace(try TargetURL(parsing: text), service: nil)
    }

    /// Names of configurations that are gone are not looked up for ever.
    @Test func namesThatNobodyNamesAreForgotten() throws {
        let book: AddressBook = AddressBook()
        let kept: TargetDefinitionPlace = try Self.place("http://127.0.0.1:1")
        let gone: TargetDefinitionPlace = try Self.place("http://127.0.0.1:2")
        let now: UInt64 = MonotonicTime.now
        let address: TargetAddress = book.address(kept)
        let old: TargetAddress = book.address(gone)
        book.name([kept, gone])
        book.name([kept])
        book.name([], droppingNamesOf: [kept, gone])
        #expect(book.count == 2)
        // Exchanges of the snapshot before still find the same object.
        #expect(book.address(gone) === old)
        let later: UInt64 = now &+ 3_600_000_000_000
        #expect(book.refresh(onlyUnknown: false, now: later).isEmpty)
        #expect(book.count == 1)
        #expect(book.address(kept) === address)
    }
}
