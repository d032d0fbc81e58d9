/*
 * Base types with the sizes drivers expect: ULONG, LONG and NDIS_STATUS are 32 bits, WCHAR is 16
 * bits, whatever the platform's long and wchar_t are.
 */
#ifndef NDIS_NTDEF_H
#define NDIS_NTDEF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Every function that NDIS offers to drivers. */
#define NDIS_API __attribute__((visibility("default")))
/* Bit-fields are laid out by the Microsoft rule: a unit is as wide as its declared type. */
#define NDIS_MS_STRUCT __attribute__((ms_struct))

#ifdef __cplusplus
#define NDIS_STATIC_ASSERT(condition, text) static_assert(condition, text)
#else
#define NDIS_STATIC_ASSERT(condition, text) _Static_assert(condition, text)
#endif

#ifdef __cplusplus
extern "C" {
#endif

#define VOID void
#define CONST const

typedef void *PVOID;
typedef char CHAR, *PCHAR;
typedef char CCHAR, *PCCHAR;
typedef unsigned char UCHAR, *PUCHAR;
typedef const UCHAR *PCUCHAR;
typedef int16_t SHORT, CSHORT;
typedef uint16_t USHORT, *PUSHORT;
typedef int32_t INT, *PINT;
typedef uint32_t UINT, *PUINT;
typedef int32_t LONG, *PLONG;
typedef uint32_t ULONG, *PULONG;
typedef int64_t LONGLONG, LONG64, *PLONG64;
typedef uint64_t ULONGLONG, ULONG64, *PULONG64;
typedef uintptr_t ULONG_PTR, UINT_PTR, *PULONG_PTR;
typedef intptr_t LONG_PTR;
typedef size_t SIZE_T, *PSIZE_T;
typedef UCHAR BOOLEAN, *PBOOLEAN;

/* u"text" has this element type in both languages. */
#ifdef __cplusplus
typedef char16_t WCHAR;
#else
typedef uint16_t WCHAR;
#endif
typedef WCHAR *PWCHAR, *PWSTR;
typedef const WCHAR *PCWSTR;

#ifndef TRUE
#define TRUE 1
#endif
#ifndef FALSE
#define FALSE 0
#endif

typedef union _LARGE_INTEGER {
    struct {
        ULONG LowPart;
        LONG HighPart;
    } u;
    LONGLONG QuadPart;
} LARGE_INTEGER, *PLARGE_INTEGER;

/* Length and MaximumLength count bytes; the buffer need not end with a zero. */
typedef struct _UNICODE_STRING {
    USHORT Length;
    USHORT MaximumLength;
    PWSTR Buffer;
} UNICODE_STRING, *PUNICODE_STRING;
typedef const UNICODE_STRING *PCUNICODE_STRING;
typedef UNICODE_STRING NDIS_STRING, *PNDIS_STRING;

/* An initialiser from a u"literal". */
#define NDIS_STRING_CONST(literal)                                                                 \
    {                                                                                              \
        (USHORT)(sizeof(literal) - sizeof(WCHAR)), (USHORT)sizeof(literal), (PWSTR)(literal)       \
    }

typedef LONG NTSTATUS;
typedef int32_t NDIS_STATUS, *PNDIS_STATUS;
typedef PVOID NDIS_HANDLE, *PNDIS_HANDLE;
typedef ULONG NDIS_PORT_NUMBER, *PNDIS_PORT_NUMBER;
typedef LARGE_INTEGER PHYSICAL_ADDRESS, NDIS_PHYSICAL_ADDRESS, *PNDIS_PHYSICAL_ADDRESS;
typedef UCHAR KIRQL, *PKIRQL;

typedef struct _GUID {
    ULONG Data1;
    USHORT Data2;
    USHORT Data3;
    UCHAR Data4[8];
} GUID;

/* Only its room and alignment matter: a NET_BUFFER may be linked through its first 16 bytes. The
 * member is OURS. */
typedef union _SLIST_HEADER {
    ULONGLONG Slot[2];
} __attribute__((aligned(16))) SLIST_HEADER, *PSLIST_HEADER;

#define UNREFERENCED_PARAMETER(parameter) ((void)(parameter))

NDIS_STATIC_ASSERT(sizeof(ULONG) == 4 && sizeof(LONG) == 4 && sizeof(NDIS_STATUS) == 4, "32 bits");
NDIS_STATIC_ASSERT(sizeof(WCHAR) == 2, "strings are UTF-16");
NDIS_STATIC_ASSERT(sizeof(PVOID) == 8, "the layouts are those of 64-bit drivers");

#ifdef __cplusplus
}
#endif

#endif
