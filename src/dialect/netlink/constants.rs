//! Numbers of the kernel's interface, under the names that they have there (linux/netlink.h,
//! linux/netfilter/nfnetlink.h, linux/netfilter/nf_tables.h).

/// Declares numbers of one type.
macro_rules! numbers {
    ($kind:ty: $($name:ident = $value:expr),+ $(,)?) => { $(pub const $name: $kind = $value;)+ };
}

// Messages.
numbers!(u16: NLMSG_ERROR = 2, NLMSG_DONE = 3);
numbers!(u16: NLM_F_REQUEST = 1, NLM_F_ACK = 4, NLM_F_DUMP_INTR = 0x10, NLM_F_CAPPED = 0x100, NLM_F_ACK_TLVS = 0x200);
numbers!(u16: NLM_F_REPLACE = 0x100, NLM_F_DUMP = 0x300, NLM_F_CREATE = 0x400, NLM_F_APPEND = 0x800);
numbers!(u16: NLMSGERR_ATTR_MSG = 1, NLMSGERR_ATTR_OFFS = 2);
numbers!(u16: NFNL_MSG_BATCH_BEGIN = 0x10, NFNL_MSG_BATCH_END = 0x11, NFNL_BATCH_GENID = 1);
numbers!(u16: NFNL_SUBSYS_NFTABLES = 10);
numbers!(u16:
    NFT_MSG_NEWTABLE = 0, NFT_MSG_GETTABLE = 1, NFT_MSG_DELTABLE = 2, NFT_MSG_NEWCHAIN = 3, NFT_MSG_GETCHAIN = 4,
    NFT_MSG_DELCHAIN = 5, NFT_MSG_NEWRULE = 6, NFT_MSG_GETRULE = 7, NFT_MSG_DELRULE = 8, NFT_MSG_NEWSET = 9,
    NFT_MSG_GETSET = 10, NFT_MSG_DELSET = 11, NFT_MSG_NEWSETELEM = 12, NFT_MSG_GETSETELEM = 13,
    NFT_MSG_DELSETELEM = 14, NFT_MSG_NEWGEN = 15, NFT_MSG_GETGEN = 16,
);

// Families.
numbers!(u8: NFPROTO_UNSPEC = 0, NFPROTO_INET = 1, NFPROTO_IPV4 = 2);
numbers!(u8: NFPROTO_IPV6 = 10);

// Attributes of objects.
numbers!(u16: NFTA_LIST_ELEM = 1);
numbers!(u16: NFTA_GEN_ID = 1);
numbers!(u16: NFTA_TABLE_NAME = 1, NFTA_TABLE_FLAGS = 2, NFTA_TABLE_USE = 3, NFTA_TABLE_HANDLE = 4);
numbers!(u16:
    NFTA_CHAIN_TABLE = 1, NFTA_CHAIN_NAME = 3, NFTA_CHAIN_HOOK = 4, NFTA_CHAIN_POLICY = 5,
    NFTA_CHAIN_TYPE = 7, NFTA_CHAIN_FLAGS = 10, NFTA_CHAIN_USERDATA = 12,
);
/// What a chain is told, besides its table and name.
pub const CHAIN_SETTINGS: [u16; 5] =
    [NFTA_CHAIN_HOOK, NFTA_CHAIN_POLICY, NFTA_CHAIN_TYPE, NFTA_CHAIN_FLAGS, NFTA_CHAIN_USERDATA];
numbers!(u16: NFTA_HOOK_HOOKNUM = 1, NFTA_HOOK_PRIORITY = 2);
numbers!(u16:
    NFTA_RULE_TABLE = 1, NFTA_RULE_CHAIN = 2, NFTA_RULE_HANDLE = 3, NFTA_RULE_EXPRESSIONS = 4, NFTA_RULE_USERDATA = 7,
);
numbers!(u16:
    NFTA_SET_TABLE = 1, NFTA_SET_NAME = 2, NFTA_SET_FLAGS = 3, NFTA_SET_KEY_TYPE = 4, NFTA_SET_KEY_LEN = 5,
    NFTA_SET_DATA_TYPE = 6, NFTA_SET_DATA_LEN = 7, NFTA_SET_POLICY = 8, NFTA_SET_DESC = 9, NFTA_SET_ID = 10,
    NFTA_SET_TIMEOUT = 11, NFTA_SET_GC_INTERVAL = 12, NFTA_SET_USERDATA = 13, NFTA_SET_OBJ_TYPE = 15,
    NFTA_SET_EXPR = 17, NFTA_SET_EXPRESSIONS = 18, NFTA_SET_DESC_SIZE = 1,
);
/// What a set is told, besides its table, name and number.
pub const SET_SETTINGS: [u16; 13] = [
    NFTA_SET_FLAGS,
    NFTA_SET_KEY_TYPE,
    NFTA_SET_KEY_LEN,
    NFTA_SET_DATA_TYPE,
    NFTA_SET_DATA_LEN,
    NFTA_SET_POLICY,
    NFTA_SET_DESC,
    NFTA_SET_TIMEOUT,
    NFTA_SET_GC_INTERVAL,
    NFTA_SET_USERDATA,
    NFTA_SET_OBJ_TYPE,
    NFTA_SET_EXPR,
    NFTA_SET_EXPRESSIONS,
];
numbers!(u16:
    NFTA_SET_ELEM_LIST_TABLE = 1, NFTA_SET_ELEM_LIST_SET = 2, NFTA_SET_ELEM_LIST_ELEMENTS = 3,
    NFTA_SET_ELEM_LIST_SET_ID = 4,
);
numbers!(u16: NFTA_SET_ELEM_KEY = 1, NFTA_SET_ELEM_FLAGS = 3, NFTA_SET_ELEM_USERDATA = 6, NFTA_SET_ELEM_PAD = 8);
numbers!(u32: NFT_SET_ELEM_INTERVAL_END = 1);
numbers!(u16: NFTA_DATA_VALUE = 1, NFTA_DATA_VERDICT = 2, NFTA_VERDICT_CODE = 1, NFTA_VERDICT_CHAIN = 2);
numbers!(u32: NFT_TABLE_F_DORMANT = 1, NFT_TABLE_F_OWNER = 2);
numbers!(u32:
    NFT_SET_ANONYMOUS = 1, NFT_SET_CONSTANT = 2, NFT_SET_INTERVAL = 4,
);
/// `nft`'s numbers for types of keys (nftables, include/datatype.h); the kernel only hands them back.
pub mod key_type {
    numbers!(u32: IPV4_ADDR = 7, IPV6_ADDR = 8, INET_SERVICE = 13, IFNAME = 41);
}

// Attributes of expressions.
numbers!(u16: NFTA_EXPR_NAME = 1, NFTA_EXPR_DATA = 2);
numbers!(u16: NFTA_META_DREG = 1, NFTA_META_KEY = 2);
numbers!(u32: NFT_META_IIF = 4, NFT_META_IIFNAME = 6, NFT_META_NFPROTO = 15, NFT_META_L4PROTO = 16);
numbers!(u16:
    NFTA_PAYLOAD_DREG = 1, NFTA_PAYLOAD_BASE = 2, NFTA_PAYLOAD_OFFSET = 3, NFTA_PAYLOAD_LEN = 4, NFTA_PAYLOAD_SREG = 5,
);
numbers!(u32: NFT_PAYLOAD_NETWORK_HEADER = 1, NFT_PAYLOAD_TRANSPORT_HEADER = 2);
numbers!(u16:
    NFTA_EXTHDR_DREG = 1, NFTA_EXTHDR_TYPE = 2, NFTA_EXTHDR_OFFSET = 3, NFTA_EXTHDR_LEN = 4, NFTA_EXTHDR_FLAGS = 5,
    NFTA_EXTHDR_OP = 6, NFTA_EXTHDR_SREG = 7,
);
numbers!(u32: NFT_EXTHDR_OP_IPV6 = 0);
numbers!(u16: NFTA_FIB_DREG = 1, NFTA_FIB_RESULT = 2, NFTA_FIB_FLAGS = 3);
numbers!(u32: NFT_FIB_RESULT_ADDRTYPE = 3, NFTA_FIB_F_DADDR = 2);
numbers!(u16: NFTA_CT_DREG = 1, NFTA_CT_KEY = 2);
numbers!(u32: NFT_CT_STATE = 0);
numbers!(u16:
    NFTA_BITWISE_SREG = 1, NFTA_BITWISE_DREG = 2, NFTA_BITWISE_LEN = 3, NFTA_BITWISE_MASK = 4, NFTA_BITWISE_XOR = 5,
    NFTA_BITWISE_OP = 6,
);
numbers!(u16: NFTA_CMP_SREG = 1, NFTA_CMP_OP = 2, NFTA_CMP_DATA = 3);
numbers!(u32: NFT_CMP_EQ = 0, NFT_CMP_NEQ = 1, NFT_CMP_LTE = 3, NFT_CMP_GTE = 5);
numbers!(u16: NFTA_RANGE_SREG = 1, NFTA_RANGE_OP = 2, NFTA_RANGE_FROM_DATA = 3, NFTA_RANGE_TO_DATA = 4);
numbers!(u32: NFT_RANGE_EQ = 0, NFT_RANGE_NEQ = 1);
numbers!(u16:
    NFTA_LOOKUP_SET = 1, NFTA_LOOKUP_SREG = 2, NFTA_LOOKUP_DREG = 3, NFTA_LOOKUP_SET_ID = 4, NFTA_LOOKUP_FLAGS = 5,
);
numbers!(u32: NFT_LOOKUP_F_INV = 1);
numbers!(u16: NFTA_IMMEDIATE_DREG = 1, NFTA_IMMEDIATE_DATA = 2);
numbers!(u16: NFTA_COUNTER_BYTES = 1, NFTA_COUNTER_PACKETS = 2);
numbers!(u16:
    NFTA_LIMIT_RATE = 1, NFTA_LIMIT_UNIT = 2, NFTA_LIMIT_BURST = 3, NFTA_LIMIT_TYPE = 4, NFTA_LIMIT_FLAGS = 5,
);
numbers!(u16: NFTA_LOG_GROUP = 1, NFTA_LOG_PREFIX = 2);
numbers!(u16: NFTA_REJECT_TYPE = 1);
numbers!(u32: NFT_REJECT_TCP_RST = 1);
numbers!(u32: NFT_REG_VERDICT = 0, NFT_REG_1 = 1);

// Verdicts, which are negative or NF_DROP and NF_ACCEPT.
numbers!(i32: NF_DROP = 0, NF_ACCEPT = 1, NFT_JUMP = -3, NFT_GOTO = -4, NFT_RETURN = -5);

// Userdata: what `nft` keeps beside an object (libnftnl, udata.h). A byte of type, a byte of length, the value.
numbers!(u8: NFTNL_UDATA_RULE_COMMENT = 0);
