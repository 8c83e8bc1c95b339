#!/usr/bin/env bash
# Prints an assembly file (x86-64, System V) with a function for each name on
# standard input that looks its namesake up at its first call:
#
#   trampolines.sh LIBRARY <names
#
# LIBRARY is the number that loader.c gives to the library.
set -euo pipefail
awk -v library="$1" '
	{ name[n++] = $1 }
	END {
		print ".text"
		for (i = 0; i < n; i++) {
			printf ".globl %s\n.type %s,@function\n%s:\n", name[i], name[i], name[i]
			printf "\tmovq .Lslots+%d(%%rip), %%r11\n\ttestq %%r11, %%r11\n\tje 1f\n\tjmp *%%r11\n", 8*i
			printf "1:\tpushq $%d\n\tjmp .Lresolve\n", i
		}
		# The registers that carry arguments are kept; the stack is aligned to 16.
		print ".Lresolve:"
		regs = split("rax rdi rsi rdx rcx r8 r9", reg, " ")
		for (i = 1; i <= regs; i++) printf "\tpushq %%%s\n", reg[i]
		print "\tsubq $136, %rsp"
		for (i = 0; i < 8; i++) printf "\tmovups %%xmm%d, %d(%%rsp)\n", i, 16*i
		printf "\tmovl $%d, %%edi\n\tmovq 192(%%rsp), %%rax\n\tleaq .Lnames(%%rip), %%rcx\n\tmovq (%%rcx,%%rax,8), %%rsi\n", library
		print "\tcall relupath_cuda_resolve@PLT"
		print "\tmovq %rax, %r11\n\tmovq 192(%rsp), %rax\n\tleaq .Lslots(%rip), %rcx\n\tmovq %r11, (%rcx,%rax,8)"
		for (i = 0; i < 8; i++) printf "\tmovups %d(%%rsp), %%xmm%d\n", 16*i, i
		print "\taddq $136, %rsp"
		for (i = regs; i >= 1; i--) printf "\tpopq %%%s\n", reg[i]
		print "\taddq $8, %rsp\n\tjmp *%r11"
		print ".section .data.rel.ro,\"aw\"\n.Lnames:"
		for (i = 0; i < n; i++) printf "\t.quad .Lname%d\n", i
		print ".section .rodata"
		for (i = 0; i < n; i++) printf ".Lname%d: .asciz \"%s\"\n", i, name[i]
		printf ".local .Lslots\n.comm .Lslots,%d,8\n", 8*n
		print ".section .note.GNU-stack,\"\",@progbits"
	}'
