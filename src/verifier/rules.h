/*
 * The rules that drivers must keep, V-001 … V-194: one table. contract/rules.md is the same list
 * for readers; a test compares the two.
 *
 * RULE(number, parties bound: H host, I intermediate, T target, N our NDIS; kind: E error, W
 * warning, C needs the frames; state; text; source). State: CHECKED, or UNCHECKED("why not").
 */
#ifndef VERIFIER_RULES_H
#define VERIFIER_RULES_H

/* clang-format off */
#define VERIFIER_RULES(RULE)                                                                       \
    /* Registration and initialisation */ \
    RULE(1, "T", E, CHECKED, "Registers the generic and the TCP PROVIDER table in MiniportSetOptions, each once.", "G:registering-chimney-offload-functions") \
    RULE(2, "HI", E, CHECKED, "Registers the CLIENT tables in ProtocolSetOptions, or with a binding handle while binding.", "D:NdisSetOptionalHandlers") \
    RULE(3, "I", E, CHECKED, "Registers both pairs; half of it means no chimney.", "G:initializing-a-tcp-chimney-capable-intermediate-driver") \
    RULE(4, "HIT", E, CHECKED, "Size and Revision right, OffloadType set, every handler non-NULL, Flags zero.", "D:struct (characteristics)") \
    RULE(5, "T", E, CHECKED, "NdisMGetOffloadHandlers from MiniportInitializeEx, once per type, after the registration attributes.", "D:ndismgetoffloadhandlers") \
    RULE(6, "T", W, UNCHECKED("what a driver does with the table does not cross NDIS"), "Looks at Type, Revision and Size of the table it gets and copies the entry points.", "D:ndismgetoffloadhandlers") \
    RULE(7, "T", E, CHECKED, "Advertises an Ethernet encapsulation, IPv4 or IPv6, and a capacity.", "D:ndis_tcp_connection_offload") \
    RULE(8, "T", W, CHECKED, "Two NBL pools, chimney and regular, one NET_BUFFER per NBL.", "G:allocating-buffer-pools") \
    RULE(9, "T", E, CHECKED, "NBLs of the chimney pool have exactly one NET_BUFFER.", "D:ndis_tcp_offload_receive_indicate") \
    RULE(10, "T", E, CHECKED, "Handles the set of the connection-offload parameters.", "W:oid-tcp-connection-offload-parameters") \
    RULE(11, "H", E, CHECKED, "No initiate before those are set; TicksPerSecond is 10, 100 or 1000 (1000 unless set).", "G:overview-of-tcp-timers") \
    RULE(12, "I", E, CHECKED, "Passes capability sets down always; answers queries it does not support with NOT_SUPPORTED.", "G:querying-and-setting-an-intermediate-driver-s…") \
    RULE(13, "N", E, CHECKED, "Lets no chimney call reach a driver at or below one without chimney handlers.", "as V-012") \
    /* Shape of a tree */ \
    RULE(14, "HI", E, CHECKED, "The type of a block that is no placeholder is a legal state type, not one of the reserved ones.", "D:struct (block list)") \
    RULE(15, "HI", E, CHECKED, "Header.Size is the block's, Revision is valid.", "D:struct (block list)") \
    RULE(16, "HI", E, CHECKED, "NextBlock stays in its layer.", "G:offload-block-lists") \
    RULE(17, "HI", E, CHECKED, "DependentBlockList goes neighbor to path, path to TCP, and ends there.", "G:offload-block-lists") \
    RULE(18, "HI", E, CHECKED, "No cycles; a block is in one outstanding tree, once.", "G:offload-state-tree") \
    RULE(19, "H", E, CHECKED, "A linker has a context and a dependent, and no state.", "G:placeholders--linkers--and-new-offloads") \
    RULE(20, "H", E, CHECKED, "A new offload carries the state its type implies; an initiate all three classes.", "G:placeholders--linkers--and-new-offloads") \
    RULE(21, "HN", E, CHECKED, "Each state header's Length is its structure's size.", "D:offload_state_header") \
    RULE(22, "H", E, CHECKED, "Path addresses are there, 4 or 16 bytes, of the family of the connections above.", "D:path_offload_state_const") \
    RULE(23, "H", E, CHECKED, "Invalidate trees carry no state.", "D:w_invalidate_offload_handler") \
    RULE(24, "H", E, CHECKED, "Update trees carry cached state, or none when they relink.", "D:w_update_offload_handler") \
    RULE(25, "H", E, CHECKED, "Terminate trees carry delegated state only.", "D:w_terminate_offload_handler") \
    RULE(26, "H", E, CHECKED, "Relinking: the new neighbor is the root, references to paths depend on it; connections never change their path.", "G:linking-path-state-objects…") \
    RULE(27, "H", E, CHECKED, "VlanId in 12 bits, UserPriority at most 7, FlowLabel in 20 bits, window scales at most 14.", "D:struct (field widths), RFC 7323") \
    RULE(28, "H", E, CHECKED, "DlSourceAddress is all zero or a whole address.", "D:neighbor_offload_state_const") \
    /* Completing state operations */ \
    RULE(29, "TI", E, CHECKED, "Each of the five completes exactly once.", "D:w_initiate_offload_handler and siblings") \
    RULE(30, "TI", E, CHECKED, "Never on the stack of the call.", "as V-029") \
    RULE(31, "TI", E, CHECKED, "With the same root, through the matching function.", "D:ndisminitiateoffloadcomplete and siblings") \
    RULE(32, "TI", W, CHECKED, "The handler takes the pointer and returns soon.", "as V-029") \
    RULE(33, "T", E, CHECKED, "Writes Status on every block.", "D:ndis_miniport_offload_block_list") \
    RULE(34, "T", E, CHECKED, "Initiate: a documented status; partial success only on a block with dependents.", "G:returning-completion-status-of-an-initiate…") \
    RULE(35, "T", E, CHECKED, "The other four: SUCCESS or FAILURE.", "D:struct (block list)") \
    RULE(36, "T", E, CHECKED, "A placeholder completes SUCCESS.", "G:placeholders--linkers--and-new-offloads") \
    RULE(37, "T", E, CHECKED, "A linker completes SUCCESS, OFFLOAD_PARTIAL_SUCCESS or FAILURE as all, some or none of its dependents came through.", "G:placeholders--linkers--and-new-offloads") \
    RULE(38, "T", E, CHECKED, "SUCCESS of a parent: all immediate dependents came through. Partial: at least one did not.", "G:returning-completion-status-of-an-initiate…") \
    RULE(39, "T", E, CHECKED, "Nothing succeeds under a parent that failed, placeholders apart.", "G:partial-offloads-and-offload-failures") \
    RULE(40, "T", E, CHECKED, "A failed root ends the walk; the rest fails.", "G:partial-offloads-and-offload-failures") \
    RULE(41, "T", E, UNCHECKED("a walk does not cross NDIS; what it comes to is V-037 to V-040"), "Walks depth first, then to the sibling.", "G:traversing-a-state-tree") \
    RULE(42, "T", E, CHECKED, "Writes a context, non-NULL and unique, for every offloaded block, before completing.", "D:w_initiate_offload_handler") \
    RULE(43, "T", E, CHECKED, "Writes none for a failed block.", "D:w_initiate_offload_handler") \
    RULE(44, "T", E, CHECKED, "Leaves ProtocolReserved, ImReserved, SourceHandle, NdisReserved, links and PortNumber alone.", "D:ndis_miniport_offload_block_list") \
    RULE(45, "H", E, CHECKED, "The issuer leaves blocks and state alone until completion.", "D:w_initiate_offload_handler and siblings") \
    RULE(46, "T", E, UNCHECKED("the memory is its issuer's again"), "Does not touch the tree after completing it.", "as V-029") \
    RULE(47, "T", E, CHECKED, "Keeps NdisOffloadHandle of TCP and neighbor objects for its indications.", "G:storing-and-referencing…") \
    RULE(48, "T", E, CHECKED, "A source MAC it cannot set: OFFLOAD_HW_ADDRESS_ENTRIES on the neighbor.", "G:offload-state-objects") \
    RULE(49, "T", W, CHECKED, "Too large a receive window: OFFLOAD_TCP_RCV_WINDOW; too large a path MTU: OFFLOAD_PATH_MTU.", "G:returning-completion-status-of-an-initiate…") \
    RULE(50, "T", E, CHECKED, "OFFLOAD_VLAN_MISMATCH when ids are configured and the neighbor's is another; VLAN is no other reason but resources.", "G:determining-whether-to-fail-an-offload-request…") \
    RULE(51, "T", E, CHECKED, "A failed initiate leaves its send chain alone: no status, no completion.", "G:partial-offloads-and-offload-failures") \
    RULE(52, "T", E, CHECKED, "Query fills every structure with current values, backlog sizes too (0xFFFFFFFF: not supported).", "D:w_query_offload_handler") \
    RULE(53, "T", E, CHECKED, "Never changes const or cached variables.", "G:classes-of-offload-state-variables") \
    RULE(54, "T", E, CHECKED, "Update changes cached variables and the documented resets, nothing else.", "D:w_update_offload_handler") \
    RULE(55, "T", E, CHECKED, "Terminate fills the delegated structures when it succeeds.", "D:ndismterminateoffloadcomplete") \
    /* What the host stack may ask, and when */ \
    RULE(56, "H", E, CHECKED, "No initiate of an object that is offloaded or on its way.", "G:processing-events-that-occur-during-an-offload") \
    RULE(57, "H", E, CHECKED, "Nothing else on an object whose initiate is outstanding.", "as V-056") \
    RULE(58, "H", E, CHECKED, "Initiate in ESTABLISHED, FIN_WAIT_1/2, CLOSE_WAIT, CLOSING, LAST_ACK only.", "D:tcp_offload_state_delegated") \
    RULE(59, "H", E, CHECKED, "A connection under an offloaded path (or one in the same tree), a path under such a neighbor.", "G:layers-of-offload-state") \
    RULE(60, "H", W, CHECKED, "No more connections than the target's capacity.", "D:ndis_tcp_connection_offload") \
    RULE(61, "H", E, CHECKED, "One update per object at a time; none while it is being offloaded or invalidated.", "G:synchronizing-update-operations") \
    RULE(62, "H", E, CHECKED, "Terminate of a connection with no invalidate, query or update outstanding and no receive or disconnect call in progress.", "D:w_terminate_offload_handler") \
    RULE(63, "H", E, CHECKED, "A path or neighbor goes when nothing depends on it any more, or together with what does.", "G:terminate-offload-initiated-by-the-host-stack") \
    RULE(64, "H", E, CHECKED, "Everything offloaded is terminated before unbind, halt or unload.", "G:terminate-offload-initiated-by-the-host-stack") \
    RULE(65, "H", E, CHECKED, "After OFFLOAD_PAUSE no new initiate until OFFLOAD_RESUME.", "G:ndis-status-offload-pause, G:ndis-status-offload-resume") \
    RULE(66, "H", E, CHECKED, "After UPLOAD_ALL: stops initiating, terminates everything.", "G:ndis-status-upload-all") \
    RULE(67, "H", E, CHECKED, "Terminates after an abort, or a retrieve with a mandatory reason, within a time limit.", "D:ndis_tcp_offload_event_indicate") \
    RULE(68, "H", C, UNCHECKED("neither options nor urgency are in the state that is lent"), "Does not offload connections with IPv4 options or urgent sends; sends no urgent data through the chimney.", "D:w_tcp_offload_send_handler") \
    RULE(69, "H", E, CHECKED, "Terminates what failed a query or update.", "D:w_query_offload_handler, D:ndismupdateoffloadcomplete") \
    RULE(70, "H", E, CHECKED, "Terminates what it invalidated.", "D:w_invalidate_offload_handler") \
    RULE(71, "H", E, CHECKED, "Before an initiate: sends a pending ACK, stops delayed-ACK, push and SWS timers, gives -1 for timers that do not run.", "G:delayed-acknowledgement-timer and siblings") \
    RULE(72, "H", E, CHECKED, "Both reachability deltas are equal when a neighbor is offloaded.", "G:making-a-neighborreachabilityquery-indication") \
    /* Sending */ \
    RULE(73, "T", E, CHECKED, "Send returns PENDING and accepts everything.", "D:w_tcp_offload_send_handler") \
    RULE(74, "T", E, CHECKED, "Each NBL completes exactly once, not inside the call that posted it.", "D:w_tcp_offload_send_handler") \
    RULE(75, "T", E, CHECKED, "In posting order per connection (what arrives after the decision to upload may overtake).", "D:w_tcp_offload_send_handler") \
    RULE(76, "T", C, UNCHECKED("not yet: needs the frames"), "Bytes leave in posting order.", "D:w_tcp_offload_send_handler") \
    RULE(77, "T", C, CHECKED, "SUCCESS only when the peer has acknowledged every byte.", "D:ndis_tcp_offload_send_complete") \
    RULE(78, "T", E, CHECKED, "Before completing: Status, the count of acknowledged bytes, each NET_BUFFER advanced by it, MDLs not freed.", "D:ndis_tcp_offload_send_complete") \
    RULE(79, "T", E, CHECKED, "After a failed NBL the rest of its list fails, and none of it is sent.", "D:ndis_tcp_offload_send_complete") \
    RULE(80, "T", E, CHECKED, "At most one NBL of a failing list is partly sent.", "D:ndis_tcp_offload_send_complete") \
    RULE(81, "T", E, CHECKED, "SUCCESS, REQUEST_ABORTED (reset, either way) or UPLOAD_IN_PROGRESS; from an intermediate driver also V-086's.", "D:ndis_tcp_offload_send_complete") \
    RULE(82, "H", E, CHECKED, "One send call per connection at a time.", "D:w_tcp_offload_send_handler") \
    RULE(83, "H", E, CHECKED, "NBLs in locked memory, at least one NET_BUFFER, lengths that fit their MDLs.", "D:w_tcp_offload_send_handler") \
    RULE(84, "H", E, CHECKED, "No send on a connection that is not offloaded, on its way, or asked to terminate or disconnect.", "G:processing-events-that-occur-during-an-offload") \
    RULE(85, "H", E, CHECKED, "Leaves NBLs alone until they complete.", "D:w_tcp_offload_send_handler") \
    RULE(86, "I", E, CHECKED, "Out of memory: REQUEST_UPLOAD on the first NBL, UPLOAD_REQUESTED on the rest, nothing goes down.", "D:ndis_tcp_offload_send_complete") \
    RULE(87, "T", E, CHECKED, "Queues with MiniportReserved; ProtocolReserved and Context stay as they are.", "D:w_tcp_offload_send_handler") \
    RULE(88, "T", W, UNCHECKED("not yet: needs the frames"), "PSH at the end of an NBL.", "D:w_tcp_offload_send_handler") \
    RULE(89, "T", C, UNCHECKED("not yet: needs the frames, except for where head and tail are"), "A chain given at initiate: head and tail are in it; before SndUna nothing is resent, up to SndNxt is in flight, up to SndMax goes first.", "G:handling-outstanding-send-data-during-and-after…") \
    /* Posting receives */ \
    RULE(90, "T", E, CHECKED, "Receive returns PENDING.", "D:w_tcp_offload_receive_handler") \
    RULE(91, "T", E, CHECKED, "Each request, of zero length too, completes exactly once.", "D:ndis_tcp_offload_receive_indicate") \
    RULE(92, "T", E, CHECKED, "First in, first out, per connection.", "D:ndis_tcp_offload_receive_complete") \
    RULE(93, "T", E, UNCHECKED("not yet: needs the frames"), "Data in stream order.", "D:w_tcp_offload_receive_handler") \
    RULE(94, "T", E, CHECKED, "Completion sets Status and the count, advances by it, and the count fits.", "D:ndis_tcp_offload_receive_complete") \
    RULE(95, "T", E, CHECKED, "SUCCESS, REQUEST_ABORTED, UPLOAD_IN_PROGRESS, or INVALID_STATE after a disconnect was indicated.", "D:ndis_tcp_offload_receive_complete") \
    RULE(96, "T", E, CHECKED, "No completion inside a completion of the same connection.", "D:ndis_tcp_offload_receive_complete") \
    RULE(97, "T", E, CHECKED, "Completions and indications of a connection one at a time.", "G:delivery-algorithm") \
    RULE(98, "T", E, UNCHECKED("whoever breaks it breaks V-106"), "Posted buffers before indications.", "G:posting-and-completing-receive-requests") \
    RULE(99, "T", E, CHECKED, "A non-push request completes full, whatever PSH says, or when the connection ends, aborts or goes up.", "D:w_tcp_offload_receive_handler") \
    RULE(100, "T", E, UNCHECKED("PSH and the timer need the frames; an empty completion is seen"), "A push request completes full at once, in part by timer or PSH, or when the connection ends, aborts or goes up.", "D:w_tcp_offload_receive_handler") \
    RULE(101, "T", W, UNCHECKED("not yet: needs the frames"), "The push timer starts with the first byte (at once when bytes were prefilled) and restarts with new data.", "G:push-timer") \
    RULE(102, "H", E, CHECKED, "One post per connection at a time, one NET_BUFFER per NBL.", "D:w_tcp_offload_receive_handler") \
    RULE(103, "H", W, CHECKED, "Prefilled bytes only in non-push requests.", "G:posting-and-completing-receive-requests") \
    RULE(104, "H", E, CHECKED, "No post after asking for a terminate.", "G:handling-send-requests-during-a-terminate…") \
    /* Indicating receives */ \
    RULE(105, "T", E, CHECKED, "One NBL, one NET_BUFFER, status SUCCESS, never RESOURCES.", "D:ndis_tcp_offload_receive_indicate") \
    RULE(106, "T", E, CHECKED, "Not while requests are posted.", "D:ndis_tcp_offload_receive_indicate") \
    RULE(107, "T", E, CHECKED, "Not before the initiate's completion call has returned.", "G:processing-events-that-occur-during-an-offload") \
    RULE(108, "T", E, CHECKED, "Refused data waits until something is posted.", "D:ndis_tcp_offload_receive_indicate") \
    RULE(109, "T", E, CHECKED, "Accepted: the NBL is the host stack's until returned. Refused, in whole or in part: it is the target's again, the rest stays buffered.", "D:ndis_tcp_offload_receive_indicate") \
    RULE(110, "HN", E, CHECKED, "BytesConsumed is the length on success, 0 on refusal, in between otherwise.", "D:ndis_tcp_offload_receive_indicate") \
    RULE(111, "H", E, CHECKED, "Returns every accepted NBL once, and no refused one.", "D:w_tcp_offload_receive_return_handler") \
    RULE(112, "T", E, CHECKED, "ReceiveReturn succeeds, synchronously, for a mixed list too.", "D:w_tcp_offload_receive_return_handler") \
    RULE(113, "T", E, CHECKED, "No halt while indicated NBLs are out.", "D:w_tcp_offload_receive_return_handler") \
    RULE(114, "T", E, CHECKED, "BufferedData of an initiate: copied before completion, delivered before anything newer, not indicated before a post.", "G:handling-buffered-receive-data-during-and-after…") \
    RULE(115, "H", W, UNCHECKED("not yet: needs the frames"), "BufferedData ends at RcvNxt.", "as V-114") \
    RULE(116, "T", C, UNCHECKED("not yet: needs the frames"), "IP options, fragments, ARP, ICMP, RIP, SYN in TIME_WAIT and data in CLOSED go to the regular path.", "G:handling-the-reception-of-packets-in-which-ip-options… and siblings") \
    /* Forwarding */ \
    RULE(117, "T", E, CHECKED, "Forward returns PENDING; each NBL completes once with a status.", "D:w_tcp_offload_forward_handler") \
    RULE(118, "H", E, CHECKED, "One segment per NBL, starting at its TCP header.", "D:w_tcp_offload_forward_handler") \
    RULE(119, "H", E, CHECKED, "Not while the connection is on its way, either way.", "D:w_tcp_offload_forward_handler") \
    /* Disconnecting */ \
    RULE(120, "T", E, CHECKED, "Disconnect returns PENDING; its one NBL completes once.", "D:w_tcp_offload_disconnect_handler") \
    RULE(121, "T", C, CHECKED, "RST only for an abortive disconnect.", "D:w_tcp_offload_disconnect_handler") \
    RULE(122, "H", E, CHECKED, "Abortive carries no data; exactly one of the two flags.", "D:w_tcp_offload_disconnect_handler") \
    RULE(123, "T", E, CHECKED, "Abortive: sends complete REQUEST_ABORTED first; no more ACKs, nothing received.", "D:w_tcp_offload_disconnect_handler") \
    RULE(124, "T", E, CHECKED, "Graceful: earlier sends first, data, FIN; SUCCESS when both are acknowledged; bytes reported and advanced.", "D:ndis_tcp_offload_disconnect_complete") \
    RULE(125, "T", E, CHECKED, "The completion carries no send NBLs.", "D:ndis_tcp_offload_disconnect_complete") \
    RULE(126, "T", E, CHECKED, "Fails only when uploading or aborted.", "D:w_tcp_offload_disconnect_handler") \
    RULE(127, "H", E, CHECKED, "Does not repeat a failed one.", "D:w_tcp_offload_disconnect_handler") \
    RULE(128, "T", C, UNCHECKED("not yet: needs the frames"), "The receive half stays open after our FIN.", "D:w_tcp_offload_disconnect_handler") \
    RULE(129, "T", E, CHECKED, "Resources stay until terminate.", "D:w_tcp_offload_disconnect_handler") \
    /* Events */ \
    RULE(130, "T", E, CHECKED, "Names a handle that NDIS gave and that lives.", "D:ndis_tcp_offload_event_indicate") \
    RULE(131, "T", E, CHECKED, "Type and reason in range, one connection per call, none for paths and neighbors.", "D:ndis_tcp_offload_event_indicate") \
    RULE(132, "T", E, CHECKED, "Disconnect after the FIN and when all data is consumed, once.", "D:ndis_tcp_offload_event_indicate") \
    RULE(133, "T", E, CHECKED, "Abort only for an acceptable RST or failed hardware; then outstanding I/O completes REQUEST_ABORTED.", "G:responding-to-the-reception-of-a-fin-or-rst-segment") \
    RULE(134, "T", E, CHECKED, "No retrieve with an optional reason in FIN_WAIT_1/2 or CLOSE_WAIT.", "D:ndis_tcp_offload_event_indicate") \
    RULE(135, "T", E, CHECKED, "After an optional reason the connection works on; after a mandatory one it stops.", "D:ndis_tcp_offload_event_indicate") \
    RULE(136, "T", W, CHECKED, "Backlog events are throttled.", "D:ndis_tcp_offload_event_indicate") \
    RULE(137, "T", W, CHECKED, "No indication of any kind while an initiate is in progress.", "G:processing-events-that-occur-during-an-offload") \
    RULE(138, "T", C, UNCHECKED("not yet: needs the frames"), "Urgent data: retrieve, no more ACKs, delivered on the regular path after the terminate.", "G:handling-the-reception-of-urgent-data") \
    RULE(139, "T", W, UNCHECKED("not yet: needs the frames"), "TimeoutExpiration when retransmissions, probes or FIN_WAIT_2 run out.", "G:persist-timer, G:fin-wait-2-timer") \
    RULE(140, "T", C, CHECKED, "After an invalidate: InvalidState, or wait; nothing is sent on what depends on it (R-42).", "D:w_invalidate_offload_handler") \
    RULE(141, "T", E, CHECKED, "NeighborReachabilityQuery when both ages are over NceStaleTicks, and not again before they are; one block, no dependents, SUCCESS.", "G:making-a-neighborreachabilityquery-indication") \
    RULE(142, "H", E, CHECKED, "Answers it before returning, keeps nothing.", "G:making-a-neighborreachabilityquery-indication") \
    RULE(143, "T", W, CHECKED, "UPLOAD_ALL, PAUSE, RESUME as status indications; RESUME only after one of the others.", "G:ndis-status-offload-resume and siblings") \
    RULE(144, "T", E, CHECKED, "Changes capabilities between PAUSE and RESUME only.", "D:ndis_tcp_connection_offload") \
    /* Terminating */ \
    RULE(145, "T", E, CHECKED, "Everything else of the connection completes first; sends may be returned instead.", "D:ndismterminateoffloadcomplete") \
    RULE(146, "T", E, CHECKED, "Indications in progress have returned.", "D:ndismterminateoffloadcomplete") \
    RULE(147, "T", E, CHECKED, "Returned sends: the host stack's own, in order, not completed as well; head, tail, SndUna, SndNxt, SndMax fit; NULL for none.", "G:handling-outstanding-send-data-during-a-terminate…") \
    RULE(148, "T", E, CHECKED, "Returned BufferedData: its own NBLs, out of its hands until returned.", "G:handling-buffered-receive-data-during-a-terminate…") \
    RULE(149, "T", C, UNCHECKED("not yet: needs the frames"), "Segments that arrive meanwhile go up unprocessed; a delayed ACK goes out first.", "G:handling-segments-received-during-a-terminate…") \
    RULE(150, "T", C, UNCHECKED("not yet: needs the frames"), "What was only SACKed is dropped.", "as V-149") \
    RULE(151, "T", E, CHECKED, "TimeoutDelta 0xFFFFFFFF for a timer that does not run; 0 means now.", "G:retransmit-timer and siblings") \
    RULE(152, "T", E, CHECKED, "Between the decision (mandatory reason, UPLOAD_ALL) and the terminate, sends complete UPLOAD_IN_PROGRESS.", "G:handling-send-requests-during-a-terminate…") \
    RULE(153, "T", E, CHECKED, "Nothing more about an object whose terminate has completed.", "D:ndismterminateoffloadcomplete") \
    RULE(154, "T", E, CHECKED, "Context memory is freed then, not before.", "D:ndismterminateoffloadcomplete") \
    RULE(155, "T", E, CHECKED, "Delegated values fit: SndUna, SndNxt, SndMax in order, RcvNxt not behind what was acknowledged, TsTime by its formula.", "G:calculating-the-timestamp-delta") \
    RULE(156, "T", E, CHECKED, "Power is not given away while anything is offloaded.", "G:power-management-for-offload-targets") \
    RULE(157, "H", E, CHECKED, "Everything is terminated before that is asked.", "G:power-management-for-offload-targets") \
    /* Intermediate drivers */ \
    RULE(158, "I", E, CHECKED, "Restores ImReserved and SourceHandle of every block.", "G:reusing-an-ndis-protocol-offload-block-list-structure") \
    RULE(159, "I", E, CHECKED, "Passes up the handle it received, down one of its own that lives as long as the offload.", "G:referencing-offloaded-state-through-an-intermediate-driver") \
    RULE(160, "I", E, CHECKED, "One operation above, at most one below, exactly one completion up.", "G:propagating-a-state-manipulation-operation") \
    RULE(161, "I", E, CHECKED, "Writes its own context into the upper cell and does not show the lower driver's.", "G:referencing-offloaded-state-through-an-intermediate-driver") \
    RULE(162, "I", E, CHECKED, "Same NBL pointer and flags; completions to the binding that asked.", "G:propagating-an-i-o-operation") \
    RULE(163, "I", E, CHECKED, "Removes the NBL context it added.", "D:tcp_offload_disconnect_complete_handler") \
    RULE(164, "I", E, CHECKED, "Indication: status and BytesConsumed unchanged.", "D:tcp_offload_receive_indicate_handler") \
    RULE(165, "I", E, UNCHECKED("what a driver allocates for itself does not cross NDIS"), "Frees call entries at completion, offload entries at terminate.", "G:propagating-the-completion-of-a-state-manipulation-operation") \
    RULE(166, "I", E, CHECKED, "What it cannot do fails the whole tree, with a completion.", "G:propagating-a-state-manipulation-operation") \
    /* On the wire */ \
    RULE(167, "T", C, CHECKED, "DF on every IPv4 segment.", "G:sending-data-from-an-offload-target") \
    RULE(168, "T", C, CHECKED, "No fragments.", "G:sending-data-from-an-offload-target") \
    RULE(169, "T", C, CHECKED, "IPv4 ids from 0x8000, IPv6 fragment ids from 0x80000000: the lower half is the host stack's.", "G:sending-data-from-an-offload-target") \
    RULE(170, "T", C, CHECKED, "Segments within RemoteMss, path MTU and the peer's window.", "RFC 9293") \
    RULE(171, "T", C, CHECKED, "Timestamps exactly when enabled, never going back across moves.", "G:generating-and-using-timestamps") \
    RULE(172, "T", C, CHECKED, "SACK blocks only when enabled and advertised; otherwise the option is ignored without error.", "D:tcp_offload_state_const") \
    RULE(173, "T", C, UNCHECKED("not yet: needs the frames of the handshake or a history of windows"), "Window scaling when enabled; a window update when an update of the receive window asks for it.", "D:tcp_offload_state_cached") \
    RULE(174, "T", C, CHECKED, "MACs, VLAN tag and priority as the neighbor's state says.", "G:sending-802-1q-marked…") \
    RULE(175, "T", C, UNCHECKED("not yet: needs the frames before the target filters them"), "Received tags: neighbor VlanId 0 takes any, another only its own.", "G:receiving-802-1q-marked…") \
    RULE(176, "T", C, UNCHECKED("not yet: needs the frames and the target's clock"), "Retransmissions within the limits; TotalRT kept.", "G:retransmit-timer") \
    RULE(177, "T", C, UNCHECKED("not yet: needs the frames and the target's clock"), "ACKs within TcpAckFrequency segments and TcpDelayedAckTicks (with ack = returned, of returned data).", "D:ndis_tcp_connection_offload_parameters") \
    RULE(178, "T", C, UNCHECKED("not yet: needs the frames and the target's clock"), "RST: outside the window dropped, at RcvNxt taken, else one challenge ACK per validation period.", "G:requirements-for-tcp-chimney-nics-for-blind-reset-attacks") \
    RULE(179, "T", C, UNCHECKED("not yet: needs the frames and the target's clock"), "SYN: challenge ACK, in the window at most one per 3 s; at RcvNxt an upload in CLOSED.", "as V-178") \
    RULE(180, "T", E, UNCHECKED("nobody here has two receive queues"), "Delivery order survives changes of the RSS table.", "G:receive-side-scaling-on-an-offloaded-tcp-connection") \
    RULE(181, "T", W, UNCHECKED("not yet: needs a count of the frames of each interface"), "Statistics of offloaded traffic only, per interface and family, wrapping, reset by a set.", "G:maintaining-and-reporting…") \
    /* Ordinary NDIS, as far as a chimney stack needs it */ \
    RULE(182, "T", E, CHECKED, "Paused: sends complete PAUSED, nothing is indicated.", "D:miniport_pause") \
    RULE(183, "T", E, CHECKED, "A pause completes when all NBLs are home.", "D:miniport_pause") \
    RULE(184, "H", E, CHECKED, "No sends while paused; SourceHandle is the binding's; NBLs left alone until completion.", "D:NdisSendNetBufferLists") \
    RULE(185, "H", E, CHECKED, "Opens in BindAdapterEx only, closes there or in UnbindAdapterEx only; afterwards the handle is dead.", "D:NdisOpenAdapterEx, D:NdisCloseAdapterEx") \
    RULE(186, "H", E, CHECKED, "Sends and OIDs are complete before the close.", "D:NdisCloseAdapterEx") \
    RULE(187, "HIT", E, CHECKED, "Every PENDING has one completion, every completion one PENDING.", "D: the functions' pages") \
    RULE(188, "H", E, CHECKED, "ProtocolNetPnPEvent never answers NOT_SUPPORTED; pause, restart, reconfigure and bind list never fail.", "D:protocol_net_pnp_event") \
    RULE(189, "T", E, CHECKED, "Attributes in order: registration, general, others; in InitializeEx only.", "D:NdisMSetMiniportAttributes") \
    RULE(190, "HIT", W, CHECKED, "Pools are empty when freed; contexts are freed with the size they had.", "D:NdisFreeNetBufferListPool") \
    RULE(191, "HIT", E, CHECKED, "No spin lock across a call into NDIS that may come back.", "R-16") \
    RULE(192, "HIT", E, CHECKED, "Periodic timers are cancelled at PASSIVE, no queued timer is freed.", "D:NdisCancelTimerObject") \
    RULE(193, "I", E, CHECKED, "Creates its device instance in BindAdapterEx, cancels it when unbound first.", "D:NdisIMInitializeDeviceInstanceEx") \
    RULE(194, "T", W, CHECKED, "Events and receive indications at DISPATCH_LEVEL, never above.", "D:ndis_tcp_offload_event_indicate")
/* clang-format on */

#endif
