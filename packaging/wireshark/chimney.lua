-- Decodes the calls between NDIS drivers in the files of the intermediate driver trace, see chimney-trace(7).
-- Wireshark and tshark 3.4 or later: copy it to the folder "Personal Lua Plugins" (Help, About, Folders), or
--   wireshark -X lua_script:chimney.lua FILE
-- They are the packets with link type USER0. Filters begin with chimney, for example
--   chimney.object == 3            everything about one connection
--   chimney.status >= 0xc0000000   what failed
-- The layout is that of src/intermediate/trace/record.c.

local chimney = Proto("chimney", "NDIS TCP chimney crossing")

local operations = {
    [1] = "INITIATE", [2] = "INITIATE_COMPLETE", [3] = "TERMINATE", [4] = "TERMINATE_COMPLETE",
    [5] = "UPDATE", [6] = "UPDATE_COMPLETE", [7] = "QUERY", [8] = "QUERY_COMPLETE",
    [9] = "INVALIDATE", [10] = "INVALIDATE_COMPLETE", [11] = "TCP_SEND", [12] = "TCP_SEND_COMPLETE",
    [13] = "TCP_RECEIVE", [14] = "TCP_RECEIVE_COMPLETE", [15] = "TCP_DISCONNECT",
    [16] = "TCP_DISCONNECT_COMPLETE", [17] = "TCP_FORWARD", [18] = "TCP_FORWARD_COMPLETE",
    [19] = "TCP_RECEIVE_INDICATE", [20] = "TCP_RECEIVE_RETURN", [21] = "TCP_EVENT",
    [22] = "OFFLOAD_EVENT", [23] = "SEND", [24] = "SEND_COMPLETE", [25] = "RECEIVE",
    [26] = "RETURN", [27] = "STATUS", [28] = "OID", [29] = "OID_COMPLETE", [30] = "PAUSE",
    [31] = "RESTART", [32] = "PNP_EVENT",
}
local statuses = {
    [0x00000000] = "SUCCESS", [0x00000103] = "PENDING", [0x00010001] = "NOT_RECOGNIZED",
    [0x00010002] = "NOT_COPIED", [0x00010003] = "NOT_ACCEPTED", [0x80010001] = "NOT_RESETTABLE",
    [0x80010003] = "SOFT_ERRORS", [0x80010004] = "HARD_ERRORS", [0x80000005] = "BUFFER_OVERFLOW",
    [0xC0000001] = "FAILURE", [0xC000000D] = "INVALID_PARAMETER",
    [0xC0000010] = "INVALID_DEVICE_REQUEST", [0xC000009A] = "RESOURCES",
    [0xC00000BB] = "NOT_SUPPORTED", [0xC0000184] = "INVALID_STATE", [0xC0010002] = "CLOSING",
    [0xC0010004] = "BAD_VERSION", [0xC0010005] = "BAD_CHARACTERISTICS",
    [0xC0010006] = "ADAPTER_NOT_FOUND", [0xC0010007] = "OPEN_FAILED",
    [0xC0010008] = "DEVICE_FAILED", [0xC0010009] = "MULTICAST_FULL",
    [0xC001000C] = "REQUEST_ABORTED", [0xC001000D] = "RESET_IN_PROGRESS",
    [0xC001000F] = "INVALID_PACKET", [0xC0010011] = "ADAPTER_NOT_READY",
    [0xC0010012] = "ADAPTER_NOT_OPEN", [0xC0010014] = "INVALID_LENGTH",
    [0xC0010015] = "INVALID_DATA", [0xC0010016] = "BUFFER_TOO_SHORT", [0xC0010017] = "INVALID_OID",
    [0xC0010018] = "ADAPTER_REMOVED", [0xC0010019] = "UNSUPPORTED_MEDIA",
    [0xC001001E] = "RESOURCE_CONFLICT", [0xC0010022] = "INVALID_ADDRESS",
    [0xC023000C] = "SEND_ABORTED", [0xC023001F] = "MEDIA_DISCONNECTED", [0xC023002A] = "PAUSED",
    [0xC023002B] = "INTERFACE_NOT_FOUND", [0xC023002C] = "UNSUPPORTED_REVISION",
    [0xC023002D] = "INVALID_PORT", [0xC023002E] = "INVALID_PORT_STATE",
    [0xC023002F] = "LOW_POWER_STATE", [0xC0231001] = "UPLOAD_IN_PROGRESS",
    [0xC0231002] = "REQUEST_UPLOAD", [0xC0231003] = "UPLOAD_REQUESTED",
    [0xC0231004] = "OFFLOAD_TCP_ENTRIES", [0xC0231005] = "OFFLOAD_PATH_ENTRIES",
    [0xC0231006] = "OFFLOAD_NEIGHBOR_ENTRIES", [0xC0231007] = "OFFLOAD_IP_ADDRESS_ENTRIES",
    [0xC0231008] = "OFFLOAD_HW_ADDRESS_ENTRIES", [0xC0231009] = "OFFLOAD_VLAN_ENTRIES",
    [0xC023100A] = "OFFLOAD_TCP_XMIT_BUFFER", [0xC023100B] = "OFFLOAD_TCP_RCV_BUFFER",
    [0xC023100C] = "OFFLOAD_TCP_RCV_WINDOW", [0xC023100D] = "OFFLOAD_VLAN_MISMATCH",
    [0xC023100E] = "OFFLOAD_DATA_NOT_ACCEPTED", [0xC023100F] = "OFFLOAD_POLICY",
    [0xC0231010] = "OFFLOAD_DATA_PARTIALLY_ACCEPTED", [0xC0231011] = "OFFLOAD_REQUEST_RESET",
    [0xC0231012] = "OFFLOAD_CONNECTION_REJECTED", [0xC0231F01] = "OFFLOAD_PATH_MTU",
    [0x40010004] = "RESET_START", [0x40010005] = "RESET_END",
    [0x40010012] = "MEDIA_SPECIFIC_INDICATION", [0x40010017] = "LINK_STATE",
    [0x40010018] = "NETWORK_CHANGE", [0x40010022] = "PORT_STATE", [0x40010023] = "OPER_STATUS",
    [0x40010024] = "PACKET_FILTER", [0x40020001] = "OFFLOAD_PAUSE", [0x40020002] = "UPLOAD_ALL",
    [0x40020003] = "OFFLOAD_RESUME", [0x40020004] = "OFFLOAD_PARTIAL_SUCCESS",
    [0x40020005] = "OFFLOAD_STATE_INVALID", [0x40020006] = "TASK_OFFLOAD_CURRENT_CONFIG",
    [0x40020007] = "TASK_OFFLOAD_HARDWARE_CAPABILITIES",
    [0x40020008] = "OFFLOAD_ENCASPULATION_CHANGE",
    [0x4002000B] = "TCP_CONNECTION_OFFLOAD_HARDWARE_CAPABILITIES",
    [0x40020100] = "OFFLOAD_IM_RESERVED1", [0x40020101] = "OFFLOAD_IM_RESERVED2",
    [0x40020102] = "OFFLOAD_IM_RESERVED3",
}
local oids = {
    [0x00010101] = "OID_GEN_SUPPORTED_LIST", [0x00010102] = "OID_GEN_HARDWARE_STATUS",
    [0x00010103] = "OID_GEN_MEDIA_SUPPORTED", [0x00010104] = "OID_GEN_MEDIA_IN_USE",
    [0x00010105] = "OID_GEN_MAXIMUM_LOOKAHEAD", [0x00010106] = "OID_GEN_MAXIMUM_FRAME_SIZE",
    [0x00010107] = "OID_GEN_LINK_SPEED", [0x00010108] = "OID_GEN_TRANSMIT_BUFFER_SPACE",
    [0x00010109] = "OID_GEN_RECEIVE_BUFFER_SPACE", [0x0001010A] = "OID_GEN_TRANSMIT_BLOCK_SIZE",
    [0x0001010B] = "OID_GEN_RECEIVE_BLOCK_SIZE", [0x0001010C] = "OID_GEN_VENDOR_ID",
    [0x0001010D] = "OID_GEN_VENDOR_DESCRIPTION", [0x0001010E] = "OID_GEN_CURRENT_PACKET_FILTER",
    [0x0001010F] = "OID_GEN_CURRENT_LOOKAHEAD", [0x00010110] = "OID_GEN_DRIVER_VERSION",
    [0x00010111] = "OID_GEN_MAXIMUM_TOTAL_SIZE", [0x00010112] = "OID_GEN_PROTOCOL_OPTIONS",
    [0x00010113] = "OID_GEN_MAC_OPTIONS", [0x00010114] = "OID_GEN_MEDIA_CONNECT_STATUS",
    [0x00010115] = "OID_GEN_MAXIMUM_SEND_PACKETS", [0x00010116] = "OID_GEN_VENDOR_DRIVER_VERSION",
    [0x00010118] = "OID_GEN_NETWORK_LAYER_ADDRESSES", [0x00010202] = "OID_GEN_PHYSICAL_MEDIUM",
    [0x00010206] = "OID_GEN_MAX_LINK_SPEED", [0x00010207] = "OID_GEN_LINK_STATE",
    [0x00010208] = "OID_GEN_LINK_PARAMETERS", [0x00010209] = "OID_GEN_INTERRUPT_MODERATION",
    [0x0001021C] = "OID_GEN_VLAN_ID", [0x00020101] = "OID_GEN_XMIT_OK",
    [0x00020102] = "OID_GEN_RCV_OK", [0x00020103] = "OID_GEN_XMIT_ERROR",
    [0x00020104] = "OID_GEN_RCV_ERROR", [0x00020105] = "OID_GEN_RCV_NO_BUFFER",
    [0x00020106] = "OID_GEN_STATISTICS", [0x01010101] = "OID_802_3_PERMANENT_ADDRESS",
    [0x01010102] = "OID_802_3_CURRENT_ADDRESS", [0x01010103] = "OID_802_3_MULTICAST_LIST",
    [0x01010104] = "OID_802_3_MAXIMUM_LIST_SIZE", [0xFD010100] = "OID_PNP_CAPABILITIES",
    [0xFD010101] = "OID_PNP_SET_POWER", [0xFD010102] = "OID_PNP_QUERY_POWER",
    [0x0101010A] = "OID_OFFLOAD_ENCAPSULATION", [0xFC010201] = "OID_TCP_TASK_OFFLOAD",
    [0xFC010207] = "OID_TCP4_OFFLOAD_STATS", [0xFC010208] = "OID_TCP6_OFFLOAD_STATS",
    [0xFC010209] = "OID_IP4_OFFLOAD_STATS", [0xFC01020A] = "OID_IP6_OFFLOAD_STATS",
    [0xFC01020B] = "OID_TCP_OFFLOAD_CURRENT_CONFIG", [0xFC01020C] = "OID_TCP_OFFLOAD_PARAMETERS",
    [0xFC01020D] = "OID_TCP_OFFLOAD_HARDWARE_CAPABILITIES",
    [0xFC01020E] = "OID_TCP_CONNECTION_OFFLOAD_CURRENT_CONFIG",
    [0xFC01020F] = "OID_TCP_CONNECTION_OFFLOAD_HARDWARE_CAPABILITIES",
    [0xFC030201] = "OID_TCP_CONNECTION_OFFLOAD_PARAMETERS",
}
local layers = { [0] = "object", [1] = "neighbor", [2] = "path", [3] = "tcp" }
local roles = { [0] = "placeholder", [1] = "existing", [2] = "new" }
local owners = { [0] = "nobody", [1] = "above", [2] = "below" }
local ways = { [0] = "down", [1] = "up" }
local events = { [1] = "Disconnect", [2] = "Retrieve", [3] = "Abort", [4] = "SendBacklogChange" }
local reasons = {
    [1] = "HardwareFailure", [2] = "InvalidState", [3] = "ReceivedUrgentData", [4] = "TimeoutExpiration",
    [5] = "UploadRequested", [6] = "HighDropRate", [7] = "HighFragmentation", [8] = "HighOutofOrderPackets",
    [9] = "LowActivity", [10] = "NoBufferProposting", [11] = "SmallIO",
}
local requests = { [0] = "query", [1] = "set", [2] = "query statistics" }

local f = {
    version = ProtoField.uint8("chimney.version", "Version"),
    op = ProtoField.uint8("chimney.op", "Operation", base.DEC, operations),
    up = ProtoField.uint8("chimney.up", "Direction", base.DEC, ways, 0x01),
    answer = ProtoField.bool("chimney.answer", "Answer", 8, nil, 0x02),
    owner = ProtoField.uint8("chimney.owner", "Now with the driver", base.DEC, owners),
    status = ProtoField.uint32("chimney.status", "Status", base.HEX, statuses),
    bytes = ProtoField.uint64("chimney.bytes", "Bytes"),
    count = ProtoField.uint32("chimney.count", "NBLs or nodes"),
    code = ProtoField.uint32("chimney.code", "Code", base.HEX),
    info = ProtoField.uint32("chimney.info", "Information"),
    event = ProtoField.uint32("chimney.event", "Event", base.DEC, events),
    reason = ProtoField.uint32("chimney.reason", "Reason", base.DEC, reasons),
    indicated = ProtoField.uint32("chimney.indicated", "Indicated", base.HEX, statuses),
    oid = ProtoField.uint32("chimney.oid", "OID", base.HEX, oids),
    request = ProtoField.uint32("chimney.request", "Request", base.DEC, requests),
    received = ProtoField.uint32("chimney.received", "Received data carried"),
    object = ProtoField.uint32("chimney.object", "Object"),
    layer = ProtoField.uint8("chimney.layer", "Layer", base.DEC, layers),
    localport = ProtoField.uint16("chimney.localport", "Local port"),
    remoteport = ProtoField.uint16("chimney.remoteport", "Remote port"),
    buffer = ProtoField.uint64("chimney.buffer", "Buffer", base.HEX),
    node = ProtoField.none("chimney.node", "Node"),
    role = ProtoField.uint8("chimney.node.role", "Role", base.DEC, roles),
    depth = ProtoField.uint8("chimney.node.depth", "Depth"),
}
chimney.fields = f

local HEAD, NODE = 48, 20
local short = ProtoExpert.new("chimney.short", "Shorter than it says", expert.group.MALFORMED, expert.severity.ERROR)
local unknown = ProtoExpert.new("chimney.unknown", "A version this dissector does not know",
    expert.group.UNDECODED, expert.severity.WARN)
chimney.experts = { short, unknown }

local function add_object(tree, number, layer, ports)
    if number:uint() == 0 then return end
    tree:add(f.object, number)
    tree:add(f.layer, layer)
    if ports:range(0, 2):uint() ~= 0 then
        tree:add(f.localport, ports:range(0, 2))
        tree:add(f.remoteport, ports:range(2, 2))
    end
end

-- What code and info mean depends on the operation.
local function add_code(tree, name, code, info)
    if name == "TCP_EVENT" then
        tree:add(f.event, code)
        if code:uint() == 2 then tree:add(f.reason, info) else tree:add(f.info, info) end
    elseif name == "STATUS" then
        tree:add(f.indicated, code)
    elseif name == "OID" or name == "OID_COMPLETE" then
        tree:add(f.oid, code)
        tree:add(f.request, info)
    else
        if code:uint() ~= 0 then tree:add(f.code, code) end
        if info:uint() ~= 0 then tree:add(f.received, info) end
    end
end

local function add_node(tree, node, answered)
    local role, layer = node:range(1, 1):uint(), node:range(0, 1):uint()
    local item = tree:add(f.node, node)

    item:set_text(string.rep("  ", node:range(2, 1):uint()) ..
        (role == 0 and "placeholder" or (layers[layer] or "object") .. " #" .. node:range(8, 4):uint()))
    item:add(f.role, node:range(1, 1))
    item:add(f.depth, node:range(2, 1))
    item:add(f.owner, node:range(3, 1))
    add_object(item, node:range(8, 4), node:range(0, 1), node:range(12, 4))
    if answered then
        local status = node:range(4, 4)

        item:add(f.status, status)
        item:append_text(", " .. (statuses[status:uint()] or string.format("0x%08x", status:uint())))
    end
end

function chimney.dissector(tvb, pinfo, tree)
    pinfo.cols.protocol = "CHIMNEY"
    local root = tree:add(chimney, tvb())
    if tvb:len() < HEAD then
        root:add_proto_expert_info(short)
        return
    end
    root:add(f.version, tvb(0, 1))
    if tvb(0, 1):uint() ~= 1 then
        root:add_proto_expert_info(unknown)
        return
    end
    local name = operations[tvb(1, 1):uint()] or "unknown operation"
    local flags = tvb(2, 1):uint()
    local answer, has_status = flags % 4 >= 2, flags >= 4
    local words = name .. (answer and " answered" or flags % 2 == 1 and " up" or " down")

    root:add(f.op, tvb(1, 1))
    root:add(f.up, tvb(2, 1))
    root:add(f.answer, tvb(2, 1))
    root:add(f.owner, tvb(3, 1))
    add_object(root, tvb(28, 4), tvb(32, 1), tvb(34, 4))
    if tvb(28, 4):uint() ~= 0 then
        words = words .. ", " .. (layers[tvb(32, 1):uint()] or "object") .. " #" .. tvb(28, 4):uint()
    end
    if has_status then
        local status = tvb(4, 4):uint()

        root:add(f.status, tvb(4, 4))
        words = words .. ", " .. (statuses[status] or string.format("0x%08x", status))
    end
    root:add(f.bytes, tvb(8, 8))
    root:add(f.count, tvb(16, 4))
    root:add(f.buffer, tvb(40, 8))
    add_code(root, name, tvb(20, 4), tvb(24, 4))
    if name == "TCP_EVENT" then words = words .. ", " .. (events[tvb(20, 4):uint()] or "unknown event") end
    if tvb(8, 8):uint64():tonumber() > 0 then words = words .. ", " .. tvb(8, 8):uint64():tonumber() .. " bytes" end
    pinfo.cols.info = words
    for i = 0, tvb(38, 2):uint() - 1 do
        if tvb:len() < HEAD + (i + 1) * NODE then
            root:add_proto_expert_info(short)
            return
        end
        add_node(root, tvb(HEAD + i * NODE, NODE), has_status)
    end
end

DissectorTable.get("wtap_encap"):add(wtap.USER0, chimney)
