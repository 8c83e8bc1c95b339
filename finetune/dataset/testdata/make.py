"""Makes the files here and prints what TestOrder expects: python testdata/make.py in the package's folder."""
import numpy as np
import scipy.io
h,w,c,n=np.indices((32,32,3,3))
X=((7*h+3*w+50*c+11*n)%256).astype(np.uint8)
y=np.array([[1],[10],[9]],np.uint8)
scipy.io.savemat('testdata/svhn.mat',{'X':X[...,:2],'y':y[:2]},do_compression=False)
scipy.io.savemat('testdata/svhn_compressed.mat',{'note':'other','y':y.astype(np.float64),'X':X},do_compression=True)
i,j,k=np.indices((4,2,3))
x=(100*i+10*j+k)
np.savez_compressed('testdata/fortran.npz',x=np.asfortranarray(x.astype('>f4')),y=np.arange(4,dtype='<i8')%3,
  x_train=x.astype('<i2')[:3],y_train=np.array([[0.5,1],[1,2],[2,4.]]),x_test=x.astype('u1')[1:],y_test=np.array([[True],[False],[True]]))
M=(1<<64)-1
class PCG:
  def __init__(s,hi,lo): s.s=(hi<<64)|lo
  def u(s):
    s.s=(s.s*0x2360ed051fc65da44385df649fccf645+0x5851f42d4c957f2d14057b7ef767814f)&((1<<128)-1)
    hi,lo=s.s>>64,s.s&M
    hi^=hi>>32; hi=hi*0xda942042e4dd58b5&M; hi^=hi>>48; hi=hi*(lo|1)&M
    return hi
def order(n,seed,epoch):
  g=PCG(seed,epoch); o=list(range(n))
  for i in range(n-1,0,-1):
    j=(g.u()*(i+1))>>64; o[i],o[j]=o[j],o[i]
  return o
print(order(10,1,0),order(10,1,1),order(10,2**64-1,7))
